"""The worker of this process, if it has one. It gets runs that are triggered here directly, without a claim."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Protocol

from orchestrator.eventstore.runs import LoadedRun


class LocalWorker(Protocol):
    """A worker in this process."""

    def reserve(self, run_id: str) -> str | None:
        """Reserve a slot for a run and return the worker's id, or None when all slots are taken."""

    def accept(self, loaded: LoadedRun) -> None:
        """Drive a run whose slot was reserved and that is now in the log."""

    def release(self, run_id: str) -> None:
        """Release the slot: the run was not recorded."""


class LocalWorkers:
    """Where the worker of this process registers, and where commands look for it.

    Attributes:
        worker: the worker of this process, or None.
        skills: the ids of its skills, or None.
    """

    def __init__(self) -> None:
        self.worker: LocalWorker | None = None
        self.skills: frozenset[str] | None = None

    @contextmanager
    def announced(self, worker: LocalWorker, skills: Collection[str]) -> Iterator[None]:
        """Hand runs to a worker until the end of the block."""
        self.worker, self.skills = worker, frozenset(skills)
        try:
            yield
        finally:
            self.worker = self.skills = None
