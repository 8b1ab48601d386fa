"""The worker of this process, while there is one: it can have what is triggered here at once, without a claim."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Protocol

from orchestrator.eventstore.runs import LoadedRun


class LocalWorker(Protocol):
    """A worker in this process."""

    def expect(self, run_id: str) -> str | None:
        """Keep room for a run and return the worker's id; None when it has no room."""

    def receive(self, loaded: LoadedRun) -> None:
        """Drive a run that was expected and is now in the log."""

    def forgo(self, run_id: str) -> None:
        """Give up the room: the run did not come about."""


class LocalWorkers:
    """Where a worker is announced, and found by what triggers runs.

    Attributes:
        worker: the worker of this process, or None.
        skills: the ids of its skills, or None.
    """

    def __init__(self) -> None:
        self.worker: LocalWorker | None = None
        self.skills: frozenset[str] | None = None

    @contextmanager
    def announced(self, worker: LocalWorker, skills: Collection[str]) -> Iterator[None]:
        """Hand runs to a worker, until the end of the block."""
        self.worker, self.skills = worker, frozenset(skills)
        try:
            yield
        finally:
            self.worker = self.skills = None
