"""The worker of this process, if there is one. Runs triggered in this process go to it directly, without a claim."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Protocol

from orchestrator.eventstore.runs import LoadedRun


class LocalWorker(Protocol):
    """A worker in this process."""

    def reserve(self, run_id: str) -> str | None:
        """Reserve a slot for a run and return the worker's id, or None when all slots are taken."""

    def accept(self, loaded: LoadedRun) -> None:
        """Start executing a run that has a reserved slot and is now recorded in the log."""

    def release(self, run_id: str) -> None:
        """Release the slot, because the run was not recorded."""


class LocalWorkers:
    """The registry where the worker of this process registers, and where commands find it.

    Attributes:
        worker: the worker of this process, or None.
        skills: the ids of its skills, or None.
    """

    def __init__(self) -> None:
        self.worker: LocalWorker | None = None
        self.skills: frozenset[str] | None = None

    @contextmanager
    def announced(self, worker: LocalWorker, skills: Collection[str]) -> Iterator[None]:
        """Register a worker until the end of the `with` block."""
        self.worker, self.skills = worker, frozenset(skills)
        try:
            yield
        finally:
            self.worker = self.skills = None
