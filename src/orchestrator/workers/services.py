"""What the drivers of a worker share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from orchestrator.cache.answers import Answer, Entry, Question
from orchestrator.eventstore.runs import RunStore
from orchestrator.telemetry.tracing import OFF, Tracing
from orchestrator.workers.context import OutputSource
from orchestrator.workers.dispatcher import Dispatcher
from orchestrator.workers.executor import StepExecutor

Clock = Callable[[], int]
"""Returns the time in milliseconds since 1970 UTC."""


class ResultCache(Protocol):
    """The step cache, as a driver needs it."""

    async def consult(
        self, tenant: str, run_id: str, serving: Sequence[str], questions: Sequence[Question]
    ) -> list[Answer]:
        """Answer each question: a cached result, permission to make it, or a notice that another run is making it."""

    async def wait(self, key: str) -> None:
        """Wait until it makes sense to look up a key again."""

    def epoch(self, tenant: str) -> int | None:
        """Return the epoch to pass to `keep`; call this before the results are recorded."""

    def keep(self, tenant: str, epoch: int | None, made: Sequence[tuple[Question, Entry]]) -> None:
        """Store results that were just recorded in the fastest cache tiers."""


@dataclass(frozen=True, slots=True)
class WorkerServices:
    """The services that all drivers of a worker share.

    `abandon_seconds` is how long a cancelled skill may take to stop before its attempt is abandoned. Without a
    `dispatcher`, steps of other executors block.
    """

    worker: str
    runs: RunStore
    executor: StepExecutor
    cache: ResultCache
    source: OutputSource
    clock: Clock
    max_parallel: int = 512
    tracing: Tracing = OFF
    abandon_seconds: float = 15.0
    dispatcher: Dispatcher | None = None
