"""Folding a run: the one place where the events of a stream become the state of a run."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol, Self

from orchestrator.domain.events import RunTriggered
from orchestrator.domain.evolve import begin, evolve
from orchestrator.domain.run import Run
from orchestrator.domain.workflow import Workflow
from orchestrator.eventstore.recorded import Recorded


class FindWorkflow(Protocol):
    """Finds the definition a run started with."""

    def __call__(self, tenant: str, name: str, version: str) -> Workflow:
        """Return the workflow; raises WorkflowNotFound."""


@dataclass(slots=True)
class LoadedRun:
    """A run folded from its events, its tenant, and the position and time of its latest event.

    The time is milliseconds since 1970 UTC. `first_position` is the position of the first event, 0 if unknown.
    """

    run: Run
    tenant: str
    position: int
    updated_at: int
    first_position: int = 0

    @classmethod
    def begin(cls, run_id: str, tenant: str, event: Any, position: int, find_workflow: FindWorkflow) -> Self:
        """Return a new run from its first event.

        Raises:
            ValueError: the event is not the first of a run.
            WorkflowNotFound: the workflow is unknown.
        """
        if not isinstance(event, RunTriggered):
            raise ValueError(f"a run does not begin with {type(event).__name__}")
        workflow = find_workflow(tenant, event.workflow_name, event.workflow_version)
        return cls(begin(run_id, workflow, event), tenant, position, event.at, position)

    @classmethod
    def fold(cls, history: Iterable[Recorded], find_workflow: FindWorkflow) -> Self:
        """Return the run that a history (from its first event on) adds up to; raises what `begin` does."""
        events = iter(history)
        first = next(events)
        loaded = cls.begin(first.stream_id, first.tenant, first.event, first.position, find_workflow)
        for recorded in events:
            loaded.evolve(recorded.event, recorded.version, recorded.position)
        return loaded

    def evolve(self, event: Any, version: int, position: int) -> None:
        """Fold the next event."""
        evolve(self.run, event)
        self.run.version = version  # skipped events count too
        self.position = position
        self.updated_at = event.at
