"""Compare inline read models, which are written in the transaction of the append, with the log, and repair them.

They are never behind, so there is nothing to catch up with and nothing to swap. The live table is compared while
appends wait, and only the rows that differ are changed.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from orchestrator.cache.rebuild import CacheFault, StepCacheRebuild
from orchestrator.eventstore.log import PostgresLog
from orchestrator.eventstore.runs import FindWorkflow
from orchestrator.postgres.database import Database
from orchestrator.projections.rebuild.differences import Kind, RowDifference
from orchestrator.projections.rebuild.run_queue import RunQueueRebuild

OnEvents = Callable[[int], None]
"""Called with the number of events read so far. If it raises an exception, the work ends and nothing is changed."""


class InlineModel(Protocol):
    """A read model whose table is written in the transaction of the append."""

    name: str

    def compare(self, *, repair: bool, on_events: OnEvents) -> Sequence[RowDifference]:
        """Return where the table differs from the log; with `repair`, also correct the rows that differ."""


class InlineStepCache:
    """The step cache as an inline read model."""

    name = "step_cache"

    def __init__(self, database: Database, log: PostgresLog, find_workflow: FindWorkflow) -> None:
        self._rebuild = StepCacheRebuild(database, log, find_workflow)

    def compare(self, *, repair: bool, on_events: OnEvents) -> Sequence[RowDifference]:
        """Compare the step cache with the log; see `InlineModel.compare`."""
        faults = self._rebuild.rebuild(on_events) if repair else self._rebuild.verify(on_events)
        return [_difference(fault) for fault in faults]


def inline_models(database: Database, log: PostgresLog, find_workflow: FindWorkflow) -> tuple[InlineModel, ...]:
    """Return all inline read models."""
    return InlineStepCache(database, log, find_workflow), RunQueueRebuild(database, log, find_workflow)


def _difference(fault: CacheFault) -> RowDifference:
    kinds: dict[str, Kind] = {"missing": "missing", "alien": "extra", "different": "changed"}
    return RowDifference(f"{fault.tenant}/{fault.key}/{fault.run_id}", kinds[fault.fault])
