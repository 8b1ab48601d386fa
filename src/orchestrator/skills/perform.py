"""Performing a call: check the input, call the skill, check the output. Read top to bottom."""

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
from orchestrator.skills.skill import Skill

ABANDON = "abandoned: it did not stop in time"
"""The message of a cancellation that leaves a skill behind which does not stop."""


async def perform(skill: Skill, call: SkillCall, ctx: StepContext, threads: Executor) -> Output:
    """Perform one attempt and return what it made.

    An async Python skill has a task of its own, so that it cannot cancel ours. A blocking one runs in `threads`. When
    it is cancelled or out of time it is asked to stop (`ctx.cancelled`), and this returns when it has: until then the
    step is being executed, and nobody may start it again. A cancellation with the message `ABANDON` leaves it behind:
    what it returns later is dropped.

    Raises:
        SkillError: SKILL_INPUT_INVALID, SKILL_OUTPUT_INVALID, SKILL_TIMEOUT, SKILL_CANCELLED (the skill gave
            up by itself), whatever the skill raised, or SKILL_EXECUTION_FAILED when it raised a BaseException
            that is no Exception.
        asyncio.CancelledError: the caller was cancelled, and by nobody else than its own callers.
        Exception: whatever the skill raised; `to_step_error` makes it a StepError.
    """
    task = asyncio.current_task()
    try:
        prepared = skill.prepare(call.input)
        result = await _called(skill, prepared, call, ctx, threads)
        return Output(skill.finish(result), ctx.artifacts)
    except Exception:
        raise
    except BaseException as error:
        ctx.cancel()
        if _is_ours(error, task):
            raise
        raise _failure(skill, error) from error
    finally:
        await _ended(ctx)


def _is_ours(error: BaseException, task: asyncio.Task[Any] | None) -> bool:
    """Whether we end the attempt: the caller was cancelled, or its coroutine is closed while nobody runs it."""
    if isinstance(error, asyncio.CancelledError):
        return task is not None and task.cancelling() > 0
    return isinstance(error, GeneratorExit) and _running() is not task


def _running() -> "asyncio.Task[Any] | None":
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop runs
        return None


def _failure(skill: Skill, error: BaseException) -> SkillError:
    """Return the outcome of an attempt whose skill raised what would end a task, a loop or a program."""
    if isinstance(error, asyncio.CancelledError):
        message = f"{skill.id} ended with CancelledError, but nobody cancelled the attempt"
        return SkillError(SKILL_CANCELLED, message, retryable=True)
    return to_skill_error(to_step_error(error))


async def _called(skill: Skill, prepared: Any, call: SkillCall, ctx: StepContext, threads: Executor) -> Any:
    if call.timeout_ms is None:
        return await _result(skill, prepared, ctx, threads)
    return await _result_in_time(skill, prepared, call.timeout_ms, ctx, threads)


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
    if skill.blocking:
        result = await _result_of_thread(skill, prepared, ctx, threads)
        return await _result_of_task(lambda: result) if inspect.isawaitable(result) else result
    if skill.kind == "python":
        return await _result_of_task(lambda: skill.call(prepared, ctx))
    return await skill.call(prepared, ctx)


async def _result_of_task(begin: Callable[[], Awaitable[Any]]) -> Any:
    """Await code of a skill in a task: what it does to the task it runs in, it does to this one."""
    result, error = await asyncio.get_running_loop().create_task(_outcome_of_task(begin))
    if error is not None:
        raise error
    return result


async def _outcome_of_task(begin: Callable[[], Awaitable[Any]]) -> tuple[Any, BaseException | None]:
    """Errors are values: a task hands SystemExit and KeyboardInterrupt to the loop, and so to the program."""
    try:
        return await begin(), None
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
    """Wait until a thread has stopped, however often this is cancelled, unless that is to abandon it."""
    while not thread.done():
        try:
            await asyncio.wait([asyncio.wrap_future(thread)])
        except asyncio.CancelledError as error:
            if error.args == (ABANDON,):
                raise


def _outcome(skill: Skill, prepared: Any, ctx: StepContext) -> tuple[Any, BaseException | None]:
    """Call a blocking skill, in its thread. Errors are values: a future cannot carry StopIteration."""
    try:
        return skill.call(prepared, ctx), None
    except BaseException as error:  # noqa: BLE001 - it is raised again where it is awaited
        return None, error


async def _ended(ctx: StepContext) -> None:
    if ctx.has_workspace:
        await asyncio.to_thread(ctx.close)  # a large folder takes its time
    else:
        ctx.close()
