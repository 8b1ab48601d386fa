"""Performing a call: check the input, call the skill, check the output. Read top to bottom."""

import asyncio
import contextvars
import inspect
from concurrent.futures import Executor
from typing import Any

from orchestrator.domain.output import Output
from orchestrator.skills.call import SkillCall
from orchestrator.skills.context import StepContext
from orchestrator.skills.errors import (
    SKILL_CANCELLED,
    SKILL_EXECUTION_FAILED,
    SKILL_TIMEOUT,
    SkillError,
)
from orchestrator.skills.skill import Skill


async def perform(skill: Skill, call: SkillCall, ctx: StepContext, threads: Executor) -> Output:
    """Perform one attempt and return what it made.

    An async skill is awaited right here, without a task of its own. A blocking one runs in `threads`; when it
    is cancelled or out of time it is asked to stop (`ctx.cancelled`) and abandoned: what it returns later is
    dropped. The clock of `call.timeout_ms` includes the wait for a free thread.

    Raises:
        SkillError: SKILL_INPUT_INVALID, SKILL_OUTPUT_INVALID, SKILL_TIMEOUT, SKILL_CANCELLED (the skill gave
            up by itself), or whatever the skill raised.
        asyncio.CancelledError: the caller was cancelled.
        Exception: whatever the skill raised; `to_step_error` makes it a StepError.
    """
    try:
        prepared = skill.prepare(call.input)
        result = await _called(skill, prepared, call, ctx, threads)
        return Output(skill.finish(result), ctx.artifacts)
    finally:
        await _ended(ctx)


async def _called(skill: Skill, prepared: Any, call: SkillCall, ctx: StepContext, threads: Executor) -> Any:
    try:
        if call.timeout_ms is None:
            return await _result(skill, prepared, ctx, threads)
        return await _result_in_time(skill, prepared, call.timeout_ms, ctx, threads)
    except asyncio.CancelledError:
        ctx.cancel()
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        # Nobody cancelled us: the skill awaited something that was cancelled behind its back.
        raise SkillError(SKILL_CANCELLED, f"{skill.id} was cancelled from within", retryable=True) from None
    except SystemExit as error:  # sys.exit() in a skill must not end the worker
        raise _exit_refused(error) from error


async def _result_in_time(skill: Skill, prepared: Any, timeout_ms: int, ctx: StepContext, threads: Executor) -> Any:
    try:
        async with asyncio.timeout(timeout_ms / 1000) as deadline:
            result = await _result(skill, prepared, ctx, threads)
    except TimeoutError:
        if not deadline.expired():  # a TimeoutError of the skill's own
            raise
    if deadline.expired():
        ctx.cancel()
        raise SkillError(SKILL_TIMEOUT, f"{skill.id} took longer than {timeout_ms} ms")
    return result


async def _result(skill: Skill, prepared: Any, ctx: StepContext, threads: Executor) -> Any:
    if not skill.blocking:
        return await skill.call(prepared, ctx)
    result = await _result_of_thread(skill, prepared, ctx, threads)
    return await result if inspect.isawaitable(result) else result


async def _result_of_thread(skill: Skill, prepared: Any, ctx: StepContext, threads: Executor) -> Any:
    thread = threads.submit(contextvars.copy_context().run, _outcome, skill, prepared, ctx)
    try:
        result, error = await asyncio.wrap_future(thread)
    except asyncio.CancelledError:
        ctx.hold(thread)
        raise
    if error is not None:
        raise error
    return result


def _outcome(skill: Skill, prepared: Any, ctx: StepContext) -> tuple[Any, BaseException | None]:
    """Call a blocking skill, in its thread. Errors are values: a future cannot carry StopIteration."""
    try:
        return skill.call(prepared, ctx), None
    except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:
        return None, _exit_refused(error)
    except BaseException as error:  # noqa: BLE001 - it is raised again where it is awaited
        return None, error


def _exit_refused(error: BaseException) -> SkillError:
    name = type(error).__name__
    return SkillError(SKILL_EXECUTION_FAILED, f"the skill tried to end the program: {name}: {error}")


async def _ended(ctx: StepContext) -> None:
    if ctx.has_workspace:
        await asyncio.to_thread(ctx.close)  # a large folder takes its time
    else:
        ctx.close()
