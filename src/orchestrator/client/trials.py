"""Retries: how many, and after which delay."""

import random

from orchestrator.client.errors import ClientError

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 10.0
_MAX_RETRY_AFTER_SECONDS = 60.0


class Trials:
    """The retry state of one call: exponential backoff with jitter, so that clients do not retry all together."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._failed = 0

    def reset(self) -> None:
        """Reset the failure count after progress."""
        self._failed = 0

    def pause_after(self, error: ClientError) -> float:
        """Return the seconds to wait before the next try, at least what `Retry-After` says.

        Raises:
            ClientError: the given error, if the call must not be retried: the error is not transient, there are no
                tries left, or the server asks to wait for more than a minute.
        """
        self._failed += 1
        retry_after = error.retry_after or 0.0
        if not error.passing or self._failed >= self._most or retry_after > _MAX_RETRY_AFTER_SECONDS:
            raise error
        pause = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** (self._failed - 1))
        return max(retry_after, pause * random.uniform(0.5, 1.0))  # noqa: S311 - not used for security
