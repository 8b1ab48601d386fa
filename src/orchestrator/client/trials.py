"""Trying again: how often, and after which pause."""

import random

from orchestrator.client.errors import ClientError

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 10.0
_LONGEST_WISH_SECONDS = 60.0


class Trials:
    """The tries of one call. Pauses double, and vary, so that many clients do not come back at the same moment."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._failed = 0

    def begin_anew(self) -> None:
        """Forget the failures: there was progress."""
        self._failed = 0

    def pause_after(self, error: ClientError) -> float:
        """Return the seconds to wait before the next try; at least what the server asks for.

        Raises:
            ClientError: the one given, when another try is not worth it: it will not pass by itself, it was tried
                often enough, or the server asks for more than a minute.
        """
        self._failed += 1
        wish = error.retry_after or 0.0
        if not error.passing or self._failed >= self._most or wish > _LONGEST_WISH_SECONDS:
            raise error
        pause = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** (self._failed - 1))
        return max(wish, pause * random.uniform(0.5, 1.0))  # noqa: S311 - nothing secret in it
