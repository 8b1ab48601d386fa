"""Run a workflow with the log in memory. The decider, the driver and the skills are those of a worker."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from uuid_utils import uuid7

from orchestrator.application.clock import now
from orchestrator.application.commands import Wanted
from orchestrator.artifacts.store import ArtifactStore
from orchestrator.cache.answers import Answer, Entry, Granted, Question
from orchestrator.domain.decide import decide_trigger
from orchestrator.domain.evolve import begin
from orchestrator.domain.output import Output
from orchestrator.domain.run import Run
from orchestrator.domain.workflow import Workflow
from orchestrator.eventstore.memory import MemoryLog
from orchestrator.eventstore.runs import RunStore
from orchestrator.skills.connections import close_connections
from orchestrator.skills.nursery import close_nursery
from orchestrator.skills.registry import SkillRegistry
from orchestrator.testing.collected import TENANT, CollectedLog, memory_store
from orchestrator.testing.executor import CollectingExecutor
from orchestrator.testing.ran import RanRun, ran_run
from orchestrator.workers.driver import RunDriver
from orchestrator.workers.services import WorkerServices
from orchestrator.workflows import check_payload

_ACTOR = "test"
_ABANDON_SECONDS = 1.0


async def run_in_memory(
    workflow: Workflow,
    skills: SkillRegistry,
    payload: Mapping[str, Any],
    *,
    chosen: Mapping[str, Any],
    secrets: Mapping[str, str],
    timeout_seconds: float,
) -> RanRun:
    """Run a workflow to its end, and return what it left behind.

    Every step is executed: there is no cache. Pauses before further attempts are skipped.

    Raises:
        InvalidPayload: the payload does not match the workflow's payloadSchema.
        TimeoutError: the run did not end in time; the message names the steps that were executing.
    """
    await asyncio.to_thread(check_payload, workflow, payload)
    log, store = MemoryLog(), memory_store()
    runs = RunStore(log, lambda *_: workflow)
    trigger = decide_trigger(Wanted(workflow.name, workflow.version, payload).command(workflow, None, None), workflow)
    run = begin(str(uuid7()), workflow, trigger)
    await runs.save(run, [trigger], tenant=TENANT, actor=_ACTOR)
    executor = CollectingExecutor(skills, store, chosen, secrets)
    services = WorkerServices(
        worker=_ACTOR,
        runs=runs,
        executor=executor,
        cache=NoCache(),
        source=_Outputs(runs, store),
        clock=_Clock(run),
        abandon_seconds=_ABANDON_SECONDS,
    )
    try:
        async with asyncio.timeout(timeout_seconds):
            await RunDriver(run, TENANT, services).drive()
    except TimeoutError:
        busy = ", ".join(run.executing) or "none"
        message = f"run of {workflow.name} did not end within {timeout_seconds:g} s; executing steps: {busy}"
        raise TimeoutError(message) from None
    finally:
        close_nursery()
        await close_connections()
    outputs = {step: state.output for step, state in run.states() if state.output is not None}
    logs: dict[str, list[CollectedLog]] = {}
    progress: dict[str, list[tuple[float, str]]] = {}
    for context in executor.contexts:
        logs.setdefault(context.step_id, []).extend(context.logs)
        progress.setdefault(context.step_id, []).extend(context.reported)
    return await asyncio.to_thread(
        ran_run, run, outputs, log.read(run.id), store, tenant=TENANT, logs=logs, progress=progress
    )


class NoCache:
    """A step cache without results: every step is executed."""

    async def consult(
        self, tenant: str, run_id: str, serving: Sequence[str], questions: Sequence[Question]
    ) -> list[Answer]:
        """Grant every step."""
        del tenant, run_id, serving
        return [Granted("no result with this key") for _ in questions]

    async def wait(self, key: str) -> None:
        """Return at once: no other run makes a result."""

    def epoch(self, tenant: str) -> int | None:
        """Return None: nothing is invalidated."""

    def keep(self, tenant: str, epoch: int | None, made: Sequence[tuple[Question, Entry]]) -> None:
        """Keep nothing."""


@dataclass(frozen=True, slots=True)
class _Outputs:
    """Data that was too large for the log. Other runs have no results here."""

    runs: RunStore
    store: ArtifactStore

    async def outputs(self, tenant: str, run_id: str, steps: Sequence[str]) -> Mapping[str, Output]:
        run = self.runs.load(run_id, tenant).run
        return {step: output for step in steps if (output := run.step(step).output) is not None}

    async def data(self, tenant: str, output: Output) -> Any:
        return await asyncio.to_thread(self.store.load_data, output, tenant)


class _Clock:
    """The system clock, advanced to the next attempt whenever a run only waits for it."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._skipped_ms = 0

    def __call__(self) -> int:
        run, time = self._run, now() + self._skipped_ms
        if run.due and not run.ready and not run.executing:
            pause = max(0, min(run.due.values()) - time)
            self._skipped_ms += pause
            time += pause
        return time
