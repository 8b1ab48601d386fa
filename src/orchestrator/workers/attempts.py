"""The attempts that a run has under way: launched, awaited, ended. What each came to is a command for the run.

A skill is asked to stop by cancelling it, and its attempt ends when it has stopped: until then nobody may start the
step again. One that does not stop is left behind after a while: it holds up neither its run nor the worker, and what it
returns later is dropped.
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
from orchestrator.workers.executor import StepExecutor

logger = logging.getLogger(__name__)


class Attempts:
    """Performs calls, each in a task.

    Args:
        executor: performs a call.
        clock: tells the time.
        tracing: where spans go.
        on_outcome: called when there is something to `take`.
        abandon_seconds: how long a skill may take to stop after it was asked to.
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
        """Begin to perform calls."""
        for call in calls:
            self._tasks[call.step_id] = asyncio.create_task(self._execute(call))

    def take(self) -> list[Command]:
        """Return what attempts came to since this was last called."""
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    async def end(self, run_id: str) -> None:
        """Cancel what is under way, and return when it has ended or has had time enough to."""
        steps = {task: step for step, task in self._tasks.items()}
        self._tasks.clear()
        if not steps:
            return
        for task in steps:
            task.cancel()
        ending = asyncio.create_task(self._ended(steps, run_id))
        cancelled: asyncio.CancelledError | None = None
        while not ending.done():  # also when the driver is cancelled meanwhile: its steps are still being executed
            try:
                await asyncio.shield(ending)
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled

    async def _ended(self, steps: "Mapping[asyncio.Task[None], str]", run_id: str) -> None:
        try:
            await asyncio.wait(steps, timeout=self._abandon_seconds)
        finally:  # or the loop ends
            for task, step in steps.items():
                if not task.done():
                    task.cancel(ABANDON)
                    logger.warning("step ignores cancellation, abandoned", extra={"run_id": run_id, "step_id": step})

    def _begun(self, call: SkillCall, task: "asyncio.Task[None] | None") -> None:
        """The time of an attempt runs from now on: give it up when it does not end in time."""
        if call.timeout_ms is not None and task is not None:
            limit = call.timeout_ms / 1000 + self._abandon_seconds
            timer = asyncio.get_running_loop().call_later(limit, self._abandon, call, task)
            task.add_done_callback(partial(_cancel_timer, timer))

    async def _execute(self, call: SkillCall) -> None:
        with self._tracing.step(call) as traced:
            outcome = await self._perform(traced)
        if self._tasks.get(call.step_id) is asyncio.current_task():
            self._leave(call, outcome)

    def _leave(self, call: SkillCall, outcome: Command | None) -> None:
        del self._tasks[call.step_id]
        if outcome is None:
            self.lost.add(call.step_id)
        else:
            self._outcomes.append(outcome)
        self._on_outcome()

    async def _perform(self, call: SkillCall) -> Command | None:
        """Return what an attempt came to; None when this worker lacks what it takes."""
        started = perf_counter()
        try:
            output = await self._executor.execute(call, partial(self._begun, call, asyncio.current_task()))
            digest = output_hash(output)
            elapsed = (perf_counter() - started) * 1000
            return CompleteStep(self._clock(), call.step_id, call.attempt, output, digest, elapsed)
        except WorkerUnfit as error:
            where = {"run_id": call.run_id, "step_id": call.step_id, "missing": str(error)}
            logger.warning("step cannot be executed by this worker, its run is given back", extra=where)
            return None
        except Exception as error:  # noqa: BLE001 - a skill may raise anything; all of it is an outcome
            elapsed = (perf_counter() - started) * 1000
            found = to_step_error(error)
            self._tracing.fail(found)
            return FailStep(self._clock(), call.step_id, call.attempt, found, elapsed, _jitter())

    def _abandon(self, call: SkillCall, task: "asyncio.Task[None]") -> None:
        """Fail an attempt whose time is up and that will not end."""
        if self._tasks.get(call.step_id) is not task:
            return
        task.cancel(ABANDON)
        logger.warning("step ignores its time-out, abandoned", extra={"run_id": call.run_id, "step_id": call.step_id})
        said = f"{call.skill_id} took longer than {call.timeout_ms} ms and does not stop"
        error, elapsed = StepError(SKILL_TIMEOUT, said), float(call.timeout_ms or 0)
        self._leave(call, FailStep(self._clock(), call.step_id, call.attempt, error, elapsed, _jitter()))


def output_hash(output: Output) -> str:
    """Return the SHA-256 of what an output says: its data and its artifacts.

    Raises:
        SkillError: SKILL_OUTPUT_INVALID, when it cannot be kept in the log; the message names the path.
    """
    reference = output.data_ref.content_hash if output.data_ref is not None else None
    said = {"data": output.data, "dataRef": reference, "artifacts": [artifact_to_json(a) for a in output.artifacts]}
    try:
        return sha256(check_storable(said)).hexdigest()
    except InputNotCanonical as error:
        raise SkillError(SKILL_OUTPUT_INVALID, str(error), details=error.details) from error


def _jitter() -> float:
    return random.uniform(-1.0, 1.0)  # noqa: S311 - spreads out retries, guards nothing


def _cancel_timer(timer: asyncio.TimerHandle, _task: "asyncio.Task[None]") -> None:
    timer.cancel()
