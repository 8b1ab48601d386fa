"""How long to wait for a run: up to the caller's timeout, and for a blocked run only a grace period."""

import time
from collections.abc import Iterable
from typing import Any

from orchestrator.client.errors import ClientError, RunIsBlocked, WaitTimedOut

_GOES_ON = frozenset({"RunStarted", "RunRecovered"})


class Deadline:
    """The time, on the monotonic clock, at which to stop waiting for a run.

    Args:
        run_id: id of the run.
        timeout: seconds from now; None waits forever.
        blocked_grace: seconds that the run may stay blocked without a new event; None waits forever.
    """

    def __init__(self, run_id: str, timeout: float | None, blocked_grace: float | None) -> None:
        self._run_id = run_id
        self._end = None if timeout is None else time.monotonic() + timeout
        self._grace = blocked_grace
        self._skills: tuple[str, ...] = ()
        self._blocked_end: float | None = None

    @property
    def at(self) -> float | None:
        """The deadline, or None if there is none. It changes as events are noted."""
        ends = [end for end in (self._end, self._blocked_end) if end is not None]
        return min(ends, default=None)

    def blocked(self, skills: Iterable[str]) -> None:
        """Note that the run is blocked on skills that no worker has, and start the grace period."""
        self._skills = tuple(skills)
        self._blocked_end = None if self._grace is None else time.monotonic() + self._grace

    def note(self, event: Any) -> None:
        """Update the deadline from an event.

        A run is no longer blocked once a worker takes it. Any other event of a blocked run, for instance of a step that
        still executes, restarts the grace period.
        """
        if event["type"] == "RunBlocked":
            self.blocked(event["data"]["skills"])
        elif event["type"] in _GOES_ON:
            self._skills, self._blocked_end = (), None
        elif self._skills:
            self.blocked(self._skills)

    def error(self) -> ClientError:
        """Return the error to raise when the deadline has passed."""
        if self._skills:
            return RunIsBlocked(self._run_id, self._skills)
        return WaitTimedOut(f"timed out waiting for run {self._run_id}, which is still in progress")
