"""A circuit breaker: after repeated failures, calls to a server are paused."""

import time
from collections.abc import Callable

_AFTER_FAILURES = 3
_FIRST_PAUSE_SECONDS = 1.0
_MAX_PAUSE_SECONDS = 30.0


class Breaker:
    """Allows every call while closed. While open, it allows one call after each pause.

    The first pause is 1 s. Each failure doubles it, up to 30 s.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._pause = _FIRST_PAUSE_SECONDS
        self._paused_until = 0.0
        self._trying = False

    @property
    def is_open(self) -> bool:
        """Whether calls to the server are paused."""
        return self._failures >= _AFTER_FAILURES

    def admits(self) -> bool:
        """Return whether a call is allowed now. The caller then makes it and reports success or failure."""
        if not self.is_open:
            return True
        now = self._clock()
        if now < self._paused_until:
            return False
        self._trying = True
        self._paused_until = now + self._pause  # other calls wait for the outcome of this one
        return True

    def succeeded(self) -> None:
        """Record a successful call, which closes the breaker."""
        self._failures = 0
        self._pause = _FIRST_PAUSE_SECONDS
        self._trying = False

    def failed(self) -> bool:
        """Record a failed call, and return whether it opened the breaker."""
        if not self.is_open:
            self._failures += 1
            self._paused_until = self._clock() + self._pause
            return self.is_open
        if self._trying:  # otherwise the call started before the breaker opened, and is ignored
            self._trying = False
            self._pause = min(self._pause * 2, _MAX_PAUSE_SECONDS)
            self._paused_until = self._clock() + self._pause
        return False
