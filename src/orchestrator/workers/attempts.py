"""The attempts a run has in progress: launch them, await them, end them. Each outcome is a command for the run.

A skill is stopped by cancelling it, and its attempt ends when the skill has stopped. Until then no worker may start
the step again. A skill that does not stop is abandoned after a while: it no longer holds up its run or the worker, and
its late result is dropped.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from hashlib import sha256
from time import perf_counter

from orchestrator.domain.commands import Command, CompleteStep, FailStep
from orchestrator.domain.errors import InputNotCanonical
from orchestrator.domain.fingerprint import check_storable
from orchestrator.domain.output import Output, StepError, artifact_to_json
from orchestrator.skills.call import SkillCall
from orchestrator.skills.errors import SKILL_OUTPUT_INVALID, SKILL_TIMEOUT, SkillError, WorkerUnfit, to_step_error
from orchestrator.skills.perform import ABANDON
from orchestrator.telemetry.tracing import Tracing
from orchestrator.workers.executor import OnBegun, StepExecutor, ignore

logger = logging.getLogger(__name__)


class Attempts:
    """Performs calls, each in a task.

    Args:
        executor: performs a call.
        clock: returns the time in milliseconds since 1970 UTC.
        tracing: receives the spans.
        on_outcome: called when `take` has something to return.
        abandon_seconds: how long a skill may take to stop after it was cancelled.
    """

    def __init__(
        self,
        executor: StepExecutor,
        clock: Callable[[], int],
        tracing: Tracing,
        on_outcome: Callable[[], None],
        abandon_seconds: float,
    ) -> None:
        self._executor = executor
        self._clock = clock
        self._tracing = tracing
        self._on_outcome = on_outcome
        self._abandon_seconds = abandon_seconds
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._outcomes: list[Command] = []
        self.lost: set[str] = set()
        """Steps that this worker could not execute. Nothing is recorded: the attempt is lost with its worker."""

    def launch(self, calls: Sequence[SkillCall]) -> None:
        """Start performing calls."""
        loop = asyncio.get_running_loop()
        for call in calls:
            self._tasks[call.step_id] = loop.create_task(self._execute(call))

    def take(self) -> list[Command]:
        """Return the outcomes since the last call."""
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    async def end(self, run_id: str) -> None:
        """Cancel all attempts, and return when they have ended or were abandoned."""
        steps = {task: step for step, task in self._tasks.items()}
        self._tasks.clear()
        if not steps:
            return
        for task in steps:
            task.cancel()
        ending = asyncio.create_task(self._ended(steps, run_id))
        cancelled: asyncio.CancelledError | None = None
        while not ending.done():  # keep waiting even if the driver is cancelled: its steps are still executing
            try:
                await asyncio.shield(ending)
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled

    async def _ended(self, steps: "Mapping[asyncio.Task[None], str]", run_id: str) -> None:
        try:
            await asyncio.wait(steps, timeout=self._abandon_seconds)
        finally:  # also when the event loop shuts down
            for task, step in steps.items():
                if not task.done():
                    task.cancel(ABANDON)
                    logger.warning("step ignores cancellation, abandoned", extra={"run_id": run_id, "step_id": step})

    def _on_begun(self, call: SkillCall, task: "asyncio.Task[None] | None") -> OnBegun:
        """Return what starts the time limit of an attempt."""
        if call.timeout_ms is None or task is None:
            return ignore
        return partial(self._abandon_after, call, task, call.timeout_ms / 1000 + self._abandon_seconds)

    def _abandon_after(self, call: SkillCall, task: "asyncio.Task[None]", seconds: float) -> None:
        """Abandon an attempt if it does not end in time."""
        timer = asyncio.get_running_loop().call_later(seconds, self._abandon, call, task)
        task.add_done_callback(partial(_cancel_timer, timer))

    async def _execute(self, call: SkillCall) -> None:
        task = asyncio.current_task()
        on_begun = self._on_begun(call, task)
        if self._tracing.is_on:
            with self._tracing.step(call) as traced:
                outcome = await self._perform(traced, on_begun)
        else:
            outcome = await self._perform(call, on_begun)
        if self._tasks.get(call.step_id) is task:
            self._finish(call, outcome)

    def _finish(self, call: SkillCall, outcome: Command | None) -> None:
        del self._tasks[call.step_id]
        if outcome is None:
            self.lost.add(call.step_id)
        else:
            self._outcomes.append(outcome)
        self._on_outcome()

    async def _perform(self, call: SkillCall, on_begun: OnBegun) -> Command | None:
        """Return the outcome of an attempt, or None when this worker lacks what it needs."""
        started = perf_counter()
        try:
            output = await self._executor.execute(call, on_begun)
            digest = output_hash(output)
            elapsed = (perf_counter() - started) * 1000
            return CompleteStep(self._clock(), call.step_id, call.attempt, output, digest, elapsed)
        except WorkerUnfit as error:
            where = {"run_id": call.run_id, "step_id": call.step_id, "missing": str(error)}
            logger.warning("step cannot be executed by this worker, its run is released", extra=where)
            return None
        except Exception as error:  # noqa: BLE001 - a skill may raise anything; all of it is an outcome
            elapsed = (perf_counter() - started) * 1000
            found = to_step_error(error)
            self._tracing.fail(found)
            return FailStep(self._clock(), call.step_id, call.attempt, found, elapsed, _jitter())

    def _abandon(self, call: SkillCall, task: "asyncio.Task[None]") -> None:
        """Fail an attempt that exceeded its time limit and does not stop."""
        if self._tasks.get(call.step_id) is not task:
            return
        task.cancel(ABANDON)
        logger.warning("step ignores its timeout, abandoned", extra={"run_id": call.run_id, "step_id": call.step_id})
        message = f"{call.skill_id} took longer than {call.timeout_ms} ms and did not stop"
        error, elapsed = StepError(SKILL_TIMEOUT, message), float(call.timeout_ms or 0)
        self._finish(call, FailStep(self._clock(), call.step_id, call.attempt, error, elapsed, _jitter()))


def output_hash(output: Output) -> str:
    """Return the SHA-256 of an output's data and artifacts.

    Raises:
        SkillError: SKILL_OUTPUT_INVALID, when the output cannot be stored in the log; the message names the path.
    """
    reference = output.data_ref.content_hash if output.data_ref is not None else None
    content = {"data": output.data, "dataRef": reference, "artifacts": [artifact_to_json(a) for a in output.artifacts]}
    try:
        return sha256(check_storable(content)).hexdigest()
    except InputNotCanonical as error:
        raise SkillError(SKILL_OUTPUT_INVALID, str(error), details=error.details) from error


def _jitter() -> float:
    return random.uniform(-1.0, 1.0)  # noqa: S311 - spreads out retries, not for security


def _cancel_timer(timer: asyncio.TimerHandle, _task: "asyncio.Task[None]") -> None:
    timer.cancel()
