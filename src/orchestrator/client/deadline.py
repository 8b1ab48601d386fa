"""How long a run is waited for: as long as the caller says, and for a blocked run only for a short grace."""

import time
from collections.abc import Iterable
from typing import Any

from orchestrator.client.errors import ClientError, RunIsBlocked, WaitTimedOut

_GOES_ON = frozenset({"RunStarted", "RunRecovered"})


class Deadline:
    """The time of the monotonic clock after which a run is not waited for any more.

    Args:
        run_id: the run.
        timeout: seconds from now on; None waits for ever.
        blocked_grace: seconds that a run may be blocked while nothing happens to it; None waits for ever.
    """

    def __init__(self, run_id: str, timeout: float | None, blocked_grace: float | None) -> None:
        self._run_id = run_id
        self._end = None if timeout is None else time.monotonic() + timeout
        self._grace = blocked_grace
        self._skills: tuple[str, ...] = ()
        self._blocked_end: float | None = None

    @property
    def at(self) -> float | None:
        """The time, None when there is none. It moves as events are noted."""
        ends = [end for end in (self._end, self._blocked_end) if end is not None]
        return min(ends, default=None)

    def blocked(self, skills: Iterable[str]) -> None:
        """Note that the run is blocked on skills that no worker knows: its grace begins."""
        self._skills = tuple(skills)
        self._blocked_end = None if self._grace is None else time.monotonic() + self._grace

    def note(self, event: Any) -> None:
        """Note what happens: a run goes on when a worker takes it, and gets a new grace while other steps execute."""
        if event["type"] == "RunBlocked":
            self.blocked(event["data"]["skills"])
        elif event["type"] in _GOES_ON:
            self._skills, self._blocked_end = (), None
        elif self._skills:
            self.blocked(self._skills)

    def error(self) -> ClientError:
        """Return the error that says why nobody waits any longer."""
        if self._skills:
            return RunIsBlocked(self._run_id, self._skills)
        return WaitTimedOut(f"run {self._run_id} is not over yet; it goes on")
