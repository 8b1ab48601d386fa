"""Growing pauses between attempts, and one log line where a thousand would say the same."""

import logging
import random
import threading
from dataclasses import dataclass
from time import monotonic

_SAY_AGAIN_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """How pauses grow: the first and the longest in seconds, each twice the one before."""

    first: float
    longest: float


RETRIES = Backoff(0.05, 1.0)
"""Between attempts to reach the database."""

RESTARTS = Backoff(0.2, 10.0)
"""Between restarts of a background duty that fails."""


class Pauses:
    """The pauses of one series of attempts, each shortened by up to a half so that not all come back at once."""

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
        """Begin anew: an attempt succeeded."""
        self.failures = 0
        self._pause = self._backoff.first


class RareWarning:
    """A warning that is logged at most every 30 seconds, with how often it was held back. Safe to use from threads.

    Args:
        log: where to.
        message: what is logged before the error, a few words.
    """

    def __init__(self, log: logging.Logger, message: str) -> None:
        self._log = log
        self._message = message
        self._lock = threading.Lock()
        self._say_at = 0.0
        self._held_back = 0

    def __call__(self, error: object) -> None:
        """Log the warning, or count it."""
        with self._lock:
            now = monotonic()
            if now < self._say_at:
                self._held_back += 1
                return
            self._say_at = now + _SAY_AGAIN_SECONDS
            held_back, self._held_back = self._held_back, 0
        self._log.warning("%s: %s", self._message, error, extra={"repeated": held_back} if held_back else None)
