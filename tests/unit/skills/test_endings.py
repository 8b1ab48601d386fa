"""What a skill raises that is no Exception, and what it does to its own task: an outcome, never the end of ours."""

import asyncio
import sys
from collections.abc import Callable
from typing import Annotated, Any

import pydantic
import pytest

from orchestrator.skills import DaemonThreads, FunctionSkill, StepContext, perform
from tests.unit.skills.calls import CALL, current, failed, performed


class PanicException(BaseException):
    """As Rust's panics come out of pyo3; `gevent.Timeout` and what ends a pytest test are of this kind too."""


ENDS = [
    PanicException("called `Option::unwrap()` on a `None` value"),
    KeyboardInterrupt(),
    GeneratorExit(),
    SystemExit("the end"),
    BaseExceptionGroup("all", [KeyboardInterrupt(), ValueError()]),
]


@pytest.mark.parametrize("blocking", [False, True])
async def test_exit_ends_the_skill_only(blocking: bool) -> None:
    async def leaves() -> None:
        sys.exit(3)

    error = await failed((lambda: sys.exit(3)) if blocking else leaves)
    assert (error.code, error.message) == (
        "SKILL_EXECUTION_FAILED",
        "the skill tried to exit the process: SystemExit: 3",
    )
    assert "sys.exit(3)" in error.details["traceback"]


@pytest.mark.parametrize("where", ["thread", "coroutine", "awaitable of a thread", "input", "output"])
@pytest.mark.parametrize("error", ENDS, ids=lambda error: type(error).__name__)
async def test_whatever_is_raised_is_an_outcome(error: BaseException, where: str) -> None:
    """None of them is an Exception, and most would end a task, a loop or a process."""

    def raises(_: Any) -> Any:
        raise error

    async def raises_too(_: Any = None) -> Any:
        raise error

    class Checked(pydantic.BaseModel):
        value: Annotated[Any, pydantic.AfterValidator(raises)] = pydantic.Field(default=0, validate_default=True)

    def takes(value: Checked) -> None: ...
    def gives() -> Checked:
        return {}  # type: ignore[return-value]

    functions: dict[str, Callable[..., Any]] = {
        "thread": raises,
        "coroutine": raises_too,
        "awaitable of a thread": lambda _: raises_too(),
        "input": takes,
        "output": gives,
    }
    async with asyncio.timeout(10):
        failure = await failed(functions[where], value={}, timeout_ms=60_000)
    assert (failure.code, failure.retryable) == ("SKILL_EXECUTION_FAILED", True)
    assert type(error).__name__ in failure.message
    assert failure.__cause__ is error


async def test_stop_iteration_does_not_hang() -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        await asyncio.wait_for(performed(lambda: next(iter([]))), 5)


@pytest.mark.parametrize("blocking", [False, True])
async def test_skill_that_cancels_itself_fails(blocking: bool) -> None:
    def gives_up() -> None:
        raise asyncio.CancelledError

    async def gives_up_too() -> None:
        raise asyncio.CancelledError

    error = await failed(gives_up if blocking else gives_up_too)
    assert (error.code, error.retryable) == ("SKILL_CANCELLED", True)


async def test_skill_that_cancels_its_own_task_fails() -> None:
    async def at_once() -> None:
        current().cancel()
        await asyncio.sleep(60)  # the time itself is the subject: a skill that takes long

    async def through_another() -> None:
        asyncio.get_running_loop().call_soon(current().cancel)
        await asyncio.sleep(60)  # the time itself is the subject: a skill that takes long

    async def without_awaiting() -> None:
        current().cancel()

    for gives_up in (at_once, through_another, without_awaiting):
        error = await failed(gives_up, timeout_ms=60_000)
        assert (error.code, error.retryable) == ("SKILL_CANCELLED", True)
        assert current().cancelling() == 0
        await asyncio.sleep(0)  # nothing of it is left for whoever awaits next


@pytest.mark.parametrize("blocking", [False, True])
async def test_a_real_cancel_wins_over_what_the_skill_did_to_itself(blocking: bool) -> None:
    begun = asyncio.Event()

    async def gives_up_first() -> None:
        current().cancel()
        try:
            await asyncio.sleep(60)  # the time itself is the subject: a skill that takes long
        except asyncio.CancelledError:
            begun.set()
            await asyncio.sleep(60)  # the time itself is the subject: a skill that takes long

    def in_a_thread() -> Any:
        return gives_up_first()

    task = asyncio.create_task(performed(in_a_thread if blocking else gives_up_first))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_coroutine_that_is_closed_with_its_loop_is_no_failure() -> None:
    async def waits() -> None:
        await asyncio.get_running_loop().create_future()

    loop = asyncio.new_event_loop()
    coroutine = perform(FunctionSkill("test.skill", waits), CALL, StepContext.for_call(CALL), DaemonThreads())
    task = loop.create_task(coroutine)
    loop.run_until_complete(asyncio.sleep(0.01))  # nothing tells when: it waits
    coroutine.close()  # raises what comes out instead of GeneratorExit
    for waiting in asyncio.all_tasks(loop):
        waiting.cancel()
    with pytest.raises(RuntimeError):
        loop.run_until_complete(task)
    loop.close()
