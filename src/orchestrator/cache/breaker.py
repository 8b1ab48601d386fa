"""A circuit breaker: after failures in a row a server is left alone for a while."""

import time
from collections.abc import Callable

_AFTER_FAILURES = 3
_FIRST_REST_SECONDS = 1.0
_LONGEST_REST_SECONDS = 30.0


class Breaker:
    """Closed it lets calls pass; open it lets one pass after each rest, and rests twice as long if that fails."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._rest = _FIRST_REST_SECONDS
        self._open_until = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the server is being left alone right now."""
        return self._clock() < self._open_until

    def succeeded(self) -> None:
        """Note a call that worked."""
        self._failures = 0
        self._rest = _FIRST_REST_SECONDS
        self._open_until = 0.0

    def failed(self) -> bool:
        """Note a call that did not; returns whether the breaker opened by it."""
        self._failures += 1
        if self._failures < _AFTER_FAILURES:
            return False
        self._open_until = self._clock() + self._rest
        self._rest = min(self._rest * 2, _LONGEST_REST_SECONDS)
        return True
