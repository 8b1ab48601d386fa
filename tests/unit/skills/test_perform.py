"""The pipeline: results, failures, time, cancellation, and threads nobody waits for."""

import asyncio
import contextvars
import functools
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from orchestrator.artifacts import ArtifactStore
from orchestrator.domain.output import Output
from orchestrator.skills import (
    FunctionSkill,
    SkillError,
    StepContext,
    perform,
    to_step_error,
)
from orchestrator.skills.perform import ABANDON
from tests.unit.skills.calls import CALL, failed, performed
from tests.waiting import until


def test_calls_are_picklable() -> None:
    assert pickle.loads(pickle.dumps(CALL)) == CALL


class TestResults:
    async def test_async_skill_runs_on_the_loop_in_a_task_of_its_own(self) -> None:
        seen = []

        async def where(value: Any) -> Any:
            seen.append((threading.current_thread(), asyncio.current_task()))
            await asyncio.sleep(0)
            return {"got": value}

        assert await performed(where, value={"x": 1}) == Output({"got": {"x": 1}})
        ((thread, task),) = seen
        assert thread is threading.main_thread()
        assert task not in (None, asyncio.current_task())

    async def test_sync_skill_runs_in_a_thread(self) -> None:
        seen = []

        def where(value: Any, ctx: StepContext) -> Any:
            seen.append(threading.current_thread())
            return {"got": value, "attempt": ctx.attempt}

        assert await performed(where, value=7) == Output({"got": 7, "attempt": 1})
        assert seen[0] is not threading.main_thread()

    async def test_sync_skill_does_not_hold_up_the_loop(self) -> None:
        beats = 0

        async def beat() -> None:
            nonlocal beats
            while True:
                beats += 1
                await asyncio.sleep(0.005)  # the time itself is the subject: the pace of the beats

        task = asyncio.create_task(beat())
        await performed(lambda: time.sleep(0.2))  # the time itself is the subject: a skill that blocks
        task.cancel()
        assert beats > 5

    async def test_wrapped_async_skill_is_awaited(self) -> None:
        async def inner() -> str:
            return "inner"

        @functools.wraps(inner)
        def outer() -> Any:
            return inner()

        assert (await performed(outer)).data == "inner"

    async def test_context_variables_reach_the_thread(self) -> None:
        variable = contextvars.ContextVar("variable", default="unset")
        variable.set("set")
        assert (await performed(lambda: variable.get("absent"))).data == "set"

    async def test_artifacts_are_listed(self, tmp_path: Path) -> None:
        def make(value: Any, ctx: StepContext) -> dict[str, Any]:
            one = ctx.artifact(b"one", "x", "one")
            ctx.artifact(b"one", "x", "one")
            (ctx.workspace / "two").write_text("two")
            ctx.artifact("two", "x")
            return {"first": one.content_hash}

        ctx = StepContext.for_call(CALL, ArtifactStore(str(tmp_path)))
        output = await performed(make, ctx)
        assert [made.filename for made in output.artifacts] == ["one", "two"]
        assert output.data == {"first": output.artifacts[0].content_hash}

    @pytest.mark.parametrize("fails", [False, True])
    async def test_workspace_is_removed(self, fails: bool) -> None:
        folders: list[Path] = []

        async def work(value: Any, ctx: StepContext) -> None:
            folders.append(ctx.workspace)
            (ctx.workspace / "file").write_text("x")
            if fails:
                raise ValueError

        try:
            await performed(work)
        except ValueError:
            assert fails
        assert not folders[0].exists()


class TestFailures:
    async def test_invalid_input_is_never_passed_on(self) -> None:
        called = []

        def typed(value: dict[str, int]) -> None:
            called.append(value)

        error = await failed(typed, value={"a": "x"})
        assert (error.code, called) == ("SKILL_INPUT_INVALID", [])

    @pytest.mark.parametrize("result", [float("nan"), {"a": {1}}])
    async def test_invalid_output(self, result: Any) -> None:
        assert (await failed(lambda: result)).code == "SKILL_OUTPUT_INVALID"

    @pytest.mark.parametrize("blocking", [False, True])
    @pytest.mark.parametrize("error", [ValueError("odd"), SkillError("QUOTA", "none"), TimeoutError("own")])
    async def test_what_the_skill_raises_comes_out(self, blocking: bool, error: Exception) -> None:
        def fails() -> None:
            raise error

        async def fails_too() -> None:
            raise error

        with pytest.raises(type(error)) as caught:
            await performed(fails if blocking else fails_too, timeout_ms=5000)
        assert caught.value is error
        assert "fails" in caught.getrepr().__str__()


class TestTime:
    async def test_async_skill_is_stopped(self) -> None:
        stopped = []

        async def slow(value: Any, ctx: StepContext) -> None:
            try:
                await asyncio.sleep(60)  # the time itself is the subject: a skill that takes long
            finally:
                stopped.append(True)

        ctx = StepContext.for_call(CALL)
        error = await failed(slow, ctx=ctx, timeout_ms=30)
        assert (error.code, error.retryable, stopped, ctx.cancelled) == ("SKILL_TIMEOUT", True, [True], True)
        assert "30 ms" in error.message

    async def test_late_result_is_not_taken(self) -> None:
        async def stubborn() -> str:
            try:
                await asyncio.sleep(60)  # the time itself is the subject: a skill that takes long
            except asyncio.CancelledError:
                return "late"
            return "never"

        assert (await failed(stubborn, timeout_ms=30)).code == "SKILL_TIMEOUT"

    async def test_blocking_skill_is_asked_to_stop_and_waited_for(self) -> None:
        left = threading.Event()

        def slow(value: Any, ctx: StepContext) -> str:
            while not ctx.wait(10):
                pass
            time.sleep(0.1)  # the time itself is the subject: it cleans up
            left.set()
            return "late"

        assert (await failed(slow, timeout_ms=50)).code == "SKILL_TIMEOUT"
        assert left.is_set(), "until then it was being executed"

    async def test_only_to_abandon_it_leaves_a_blocking_skill_behind(self) -> None:
        folders: list[Path] = []
        asked, go_on, left = threading.Event(), threading.Event(), threading.Event()

        def stubborn(value: Any, ctx: StepContext) -> str:
            folders.append(ctx.workspace)
            while not ctx.wait(10):
                pass
            asked.set()
            go_on.wait(10)
            assert ctx.workspace.exists()
            left.set()
            return "late"

        task = asyncio.create_task(failed(stubborn, timeout_ms=50))
        await until(asked.is_set)
        task.cancel()
        await asyncio.sleep(0.05)  # the time itself is the subject: nothing ends or begins meanwhile
        assert not task.done(), "it is still being executed"
        task.cancel(ABANDON)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert folders[0].exists(), "it still works there"
        go_on.set()
        await until(lambda: not folders[0].exists())
        assert left.is_set()

    async def test_in_time_is_in_time(self) -> None:
        assert (await performed(lambda: "fast", timeout_ms=10_000)).data == "fast"


class TestCancellation:
    @pytest.mark.parametrize("timeout_ms", [None, 60_000])
    async def test_async_skill_is_cancelled(self, timeout_ms: int | None) -> None:
        begun, stopped = asyncio.Event(), asyncio.Event()

        async def slow() -> None:
            begun.set()
            try:
                await asyncio.sleep(60)  # the time itself is the subject: a skill that takes long
            finally:
                stopped.set()

        ctx = StepContext.for_call(CALL)
        task = asyncio.create_task(performed(slow, ctx, timeout_ms=timeout_ms))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert stopped.is_set()
        assert ctx.cancelled
        assert to_step_error(asyncio.CancelledError()).code == "SKILL_CANCELLED"

    async def test_blocking_skill_is_asked_to_stop_and_waited_for(self) -> None:
        begun, release, returned = threading.Event(), threading.Event(), threading.Event()
        seen: list[bool] = []

        def slow(value: Any, ctx: StepContext) -> str:
            begun.set()
            seen.append(ctx.wait(10))
            release.wait(10)
            returned.set()
            raise ValueError("late, and nobody is there to hear it")

        task = asyncio.create_task(performed(slow))
        await until(begun.is_set)
        task.cancel()
        await until(lambda: seen == [True])
        assert not task.done(), "it is still being executed"
        release.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert returned.is_set()

    async def test_call_that_still_waits_for_its_thread_never_starts(self) -> None:
        started = []
        release = threading.Event()
        with ThreadPoolExecutor(1) as threads:
            threads.submit(release.wait, 10)
            one = FunctionSkill("test.skill", lambda: started.append(True))
            task = asyncio.create_task(perform(one, CALL, StepContext.for_call(CALL), threads))
            await asyncio.sleep(0.05)  # the time itself is the subject: nothing ends or begins meanwhile
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            release.set()
        assert started == []
