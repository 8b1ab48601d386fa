"""A circuit breaker: after failures in a row a server is left alone for a while."""

import time
from collections.abc import Callable

_AFTER_FAILURES = 3
_FIRST_REST_SECONDS = 1.0
_LONGEST_REST_SECONDS = 30.0


class Breaker:
    """Closed it lets every call pass; open it lets one pass after each rest, and rests twice as long if that fails."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._rest = _FIRST_REST_SECONDS
        self._rests_until = 0.0
        self._trying = False

    @property
    def is_open(self) -> bool:
        """Whether the server is being left alone."""
        return self._failures >= _AFTER_FAILURES

    def admits(self) -> bool:
        """Say whether a call may be made now; the caller then makes it and tells how it ended."""
        if not self.is_open:
            return True
        now = self._clock()
        if now < self._rests_until:
            return False
        self._trying = True
        self._rests_until = now + self._rest  # the others wait for what comes of this one
        return True

    def succeeded(self) -> None:
        """Note a call that worked."""
        self._failures = 0
        self._rest = _FIRST_REST_SECONDS
        self._trying = False

    def failed(self) -> bool:
        """Note a call that did not; returns whether the breaker opened by it."""
        if not self.is_open:
            self._failures += 1
            self._rests_until = self._clock() + self._rest
            return self.is_open
        if self._trying:  # else it was made before the breaker opened, and says nothing new
            self._trying = False
            self._rest = min(self._rest * 2, _LONGEST_REST_SECONDS)
            self._rests_until = self._clock() + self._rest
        return False
