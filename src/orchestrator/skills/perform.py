"""Perform a call: check the input, call the skill, check the output. Read from top to bottom."""

import asyncio
import contextvars
import inspect
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, Future
from typing import Any

from orchestrator.domain.output import Output
from orchestrator.skills.call import SkillCall
from orchestrator.skills.context import StepContext
from orchestrator.skills.errors import (
    SKILL_CANCELLED,
    SKILL_TIMEOUT,
    SkillError,
    to_skill_error,
    to_step_error,
)
from orchestrator.skills.leaks import checked_output
from orchestrator.skills.logs import logged
from orchestrator.skills.masking import MASKER
from orchestrator.skills.skill import Skill

ABANDON = "abandoned: it did not stop in time"
"""The message of a cancellation that abandons a skill that does not stop."""


async def perform(skill: Skill, call: SkillCall, ctx: StepContext, threads: Executor) -> Output:
    """Perform one attempt and return its output.

    An async Python skill runs in its own task, so that it cannot cancel the caller's. A blocking skill runs in
    `threads`. When the attempt is cancelled or exceeds its time limit, the skill is asked to stop (`ctx.cancelled`),
    and this function returns only when it has: until then the step is executing, and no worker may start it again. A
    cancellation with the message `ABANDON` abandons the skill, and its late result is dropped.

    Raises:
        SkillError: SKILL_INPUT_INVALID, SKILL_OUTPUT_INVALID, SKILL_TIMEOUT, SKILL_CANCELLED (the skill raised
            CancelledError by itself), SECRET_IN_OUTPUT, the SkillError the skill raised, or SKILL_EXECUTION_FAILED
            when it raised a BaseException that is not an Exception.
        asyncio.CancelledError: the caller was cancelled. A CancelledError of the skill itself is never passed on.
        Exception: any other exception of the skill; `to_step_error` converts it to a StepError.
    """
    task = asyncio.current_task()
    try:
        with logged(ctx.step_log):
            prepared = skill.prepare(call.input)
            result = await _called(skill, prepared, call, ctx, threads)
            output = Output(skill.finish(result), ctx.artifacts)
            return output if MASKER.is_empty else await checked_output(skill.id, output)
    except Exception:
        raise
    except BaseException as error:
        ctx.cancel()
        if _is_ours(error, task):
            raise
        raise _failure(skill, error) from error
    finally:
        if ctx.has_workspace:
            await asyncio.to_thread(ctx.close)  # removing a large folder takes time
        else:
            ctx.close()


def _is_ours(error: BaseException, task: asyncio.Task[Any] | None) -> bool:
    """Return whether an error ends the caller: its task was cancelled, or its coroutine is closed from outside."""
    if isinstance(error, asyncio.CancelledError):
        return task is not None and task.cancelling() > 0
    return isinstance(error, GeneratorExit) and _running() is not task


def _running() -> "asyncio.Task[Any] | None":
    try:
        return asyncio.current_task()
    except RuntimeError:  # no event loop is running
        return None


def _failure(skill: Skill, error: BaseException) -> SkillError:
    """Return the error for a skill that raised an exception that would end a task, the event loop or the process."""
    if isinstance(error, asyncio.CancelledError):
        message = f"{skill.id} raised CancelledError, but the attempt was not cancelled"
        return SkillError(SKILL_CANCELLED, message, retryable=True)
    return to_skill_error(to_step_error(error))


def _called(skill: Skill, prepared: Any, call: SkillCall, ctx: StepContext, threads: Executor) -> Awaitable[Any]:
    """Return what to await for the result. Each layer of `await` costs an attempt time, so there are few."""
    if call.timeout_ms is None:
        return _result(skill, prepared, ctx, threads)
    return _result_in_time(skill, prepared, call.timeout_ms, ctx, threads)


async def _result_in_time(skill: Skill, prepared: Any, timeout_ms: int, ctx: StepContext, threads: Executor) -> Any:
    try:
        async with asyncio.timeout(timeout_ms / 1000) as deadline:
            result = await _result(skill, prepared, ctx, threads)
    except TimeoutError:
        if not deadline.expired():  # a TimeoutError raised by the skill
            raise
    if deadline.expired():
        ctx.cancel()
        raise SkillError(SKILL_TIMEOUT, f"{skill.id} took longer than {timeout_ms} ms")
    return result


def _result(skill: Skill, prepared: Any, ctx: StepContext, threads: Executor) -> Awaitable[Any]:
    if skill.blocking:
        return _result_of_blocking(skill, prepared, ctx, threads)
    if skill.kind == "python":
        return _result_of_task(skill.call, prepared, ctx)
    awaitable: Awaitable[Any] = skill.call(prepared, ctx)
    return awaitable


async def _result_of_blocking(skill: Skill, prepared: Any, ctx: StepContext, threads: Executor) -> Any:
    result = await _result_of_thread(skill, prepared, ctx, threads)
    return await _result_of_task(_same, result) if inspect.isawaitable(result) else result


def _same(awaitable: Awaitable[Any]) -> Awaitable[Any]:
    return awaitable


async def _result_of_task(begin: Callable[..., Awaitable[Any]], *given: Any) -> Any:
    """Await a skill's code in a separate task, so that it cannot affect the caller's task."""
    result, error = await asyncio.get_running_loop().create_task(_outcome_of_task(begin, *given))
    if error is not None:
        raise error
    return result


async def _outcome_of_task(begin: Callable[..., Awaitable[Any]], *given: Any) -> tuple[Any, BaseException | None]:
    """Return errors as values: a task would pass SystemExit and KeyboardInterrupt on to the event loop."""
    try:
        return await begin(*given), None
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - it is raised again where it is awaited
        return None, error


async def _result_of_thread(skill: Skill, prepared: Any, ctx: StepContext, threads: Executor) -> Any:
    thread = threads.submit(contextvars.copy_context().run, _outcome, skill, prepared, ctx)
    try:
        result, failure = await asyncio.wrap_future(thread)
    except asyncio.CancelledError as error:
        ctx.cancel()
        ctx.hold(thread)
        if error.args != (ABANDON,):
            await _stopped(thread)
        raise
    if failure is not None:
        raise failure
    return result


async def _stopped(thread: "Future[Any]") -> None:
    """Wait until a thread has stopped; ignore cancellations, except one that abandons the skill."""
    while not thread.done():
        try:
            await asyncio.wait([asyncio.wrap_future(thread)])
        except asyncio.CancelledError as error:
            if error.args == (ABANDON,):
                raise


def _outcome(skill: Skill, prepared: Any, ctx: StepContext) -> tuple[Any, BaseException | None]:
    """Call a blocking skill in its thread. Return errors as values, because a future cannot carry StopIteration."""
    try:
        return skill.call(prepared, ctx), None
    except BaseException as error:  # noqa: BLE001 - it is raised again where it is awaited
        return None, error
