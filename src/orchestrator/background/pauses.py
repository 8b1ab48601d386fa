"""Exponential backoff, and warnings that are logged at a limited rate."""

import logging
import random
import threading
from dataclasses import dataclass
from time import monotonic

_INTERVAL_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """How pauses grow: the first and the longest pause in seconds; each is twice the previous one."""

    first: float
    longest: float


RETRIES = Backoff(0.05, 1.0)
"""Between attempts to reach the database."""

RESTARTS = Backoff(0.2, 10.0)
"""Between restarts of a failing background duty."""


class Pauses:
    """The pauses of one series of attempts, each randomly shortened by up to half to spread out retries."""

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._pause = backoff.first
        self.failures = 0

    def next(self) -> float:
        """Return how many seconds to wait after a failure."""
        self.failures += 1
        pause, self._pause = self._pause, min(self._pause * 2, self._backoff.longest)
        return pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads out retries, guards nothing

    def reset(self) -> None:
        """Start again with the first pause: an attempt succeeded."""
        self.failures = 0
        self._pause = self._backoff.first


class RareWarning:
    """A warning that is logged at most every 30 seconds, with the number of suppressed repeats. Thread-safe.

    Args:
        log: the logger.
        message: a short text to log before the error.
    """

    def __init__(self, log: logging.Logger, message: str) -> None:
        self._log = log
        self._message = message
        self._lock = threading.Lock()
        self._next_at = 0.0
        self._suppressed = 0

    def __call__(self, error: object) -> None:
        """Log the warning, or count it."""
        with self._lock:
            now = monotonic()
            if now < self._next_at:
                self._suppressed += 1
                return
            self._next_at = now + _INTERVAL_SECONDS
            suppressed, self._suppressed = self._suppressed, 0
        self._log.warning("%s: %s", self._message, error, extra={"repeated": suppressed} if suppressed else None)
