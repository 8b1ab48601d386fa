"""Attempts under way: each comes to one outcome, also those of skills that will not stop."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from orchestrator.domain.commands import CompleteStep, FailStep
from orchestrator.domain.output import Output
from orchestrator.skills.call import SkillCall
from orchestrator.telemetry.tracing import OFF
from orchestrator.workers.attempts import Attempts
from orchestrator.workers.executor import OnBegun, ignore

Perform = Callable[[SkillCall], Awaitable[Output]]


class Executor:
    """Performs calls with a function."""

    def __init__(self, perform: Perform) -> None:
        self._perform = perform

    def skill(self, skill_id: str) -> str | None:
        return f"{skill_id}@1"

    async def execute(self, call: SkillCall, begun: OnBegun = ignore) -> Output:
        begun()
        return await self._perform(call)


class Stage:
    def __init__(self, perform: Perform, abandon_seconds: float = 0.05) -> None:
        self.told = asyncio.Event()
        self.attempts = Attempts(Executor(perform), lambda: 17, OFF, self.told.set, abandon_seconds)

    async def outcome(self) -> CompleteStep | FailStep:
        async with asyncio.timeout(20):
            await self.told.wait()
        (outcome,) = self.attempts.take()
        assert isinstance(outcome, CompleteStep | FailStep)
        return outcome


def call(timeout_ms: int | None = None) -> SkillCall:
    return SkillCall("run", "step", 1, "default", "test.work", timeout_ms=timeout_ms)


class Stubborn:
    """Swallows cancellation until it is let go."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.let_go = asyncio.Event()

    async def __call__(self, _call: SkillCall) -> Output:
        self.begun.set()
        while not self.let_go.is_set():
            try:
                await self.let_go.wait()
            except asyncio.CancelledError:
                self.cancelled.set()
        return Output("late")


async def test_a_result_is_an_outcome() -> None:
    async def perform(_call: SkillCall) -> Output:
        return Output({"made": 1})

    stage = Stage(perform)
    stage.attempts.launch([call(1000)])
    outcome = await stage.outcome()
    assert isinstance(outcome, CompleteStep)
    assert outcome.output == Output({"made": 1})
    await stage.attempts.end("run")


async def test_a_skill_that_swallows_its_time_out_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    stubborn = Stubborn()
    stage = Stage(stubborn)
    stage.attempts.launch([call(timeout_ms=50)])
    outcome = await stage.outcome()
    assert isinstance(outcome, FailStep)
    assert outcome.error.code == "SKILL_TIMEOUT"
    assert "step ignores its timeout, abandoned" in caplog.text
    stage.told.clear()
    stubborn.let_go.set()
    await stage.attempts.end("run")
    await asyncio.sleep(0)
    assert stage.attempts.take() == [], "what it returns later is dropped"


async def test_a_skill_that_swallows_cancellation_holds_up_nobody(caplog: pytest.LogCaptureFixture) -> None:
    stubborn = Stubborn()
    stage = Stage(stubborn)
    stage.attempts.launch([call()])
    await stubborn.begun.wait()
    async with asyncio.timeout(20):
        await stage.attempts.end("run")
    assert stubborn.cancelled.is_set()
    assert "step ignores cancellation, abandoned" in caplog.text
    stubborn.let_go.set()


async def test_one_that_ends_in_time_is_waited_for() -> None:
    ended = asyncio.Event()

    async def perform(_call: SkillCall) -> Output:
        try:
            await asyncio.sleep(60)  # the time itself is the subject: a skill that takes long
        finally:
            await asyncio.sleep(0.05)  # the time itself is the subject: it tidies up
            ended.set()
        return Output(None)

    stage = Stage(perform, abandon_seconds=20)
    stage.attempts.launch([call(timeout_ms=60_000)])
    await asyncio.sleep(0)
    await stage.attempts.end("run")
    assert ended.is_set()


async def test_the_end_is_waited_for_though_whoever_waits_is_cancelled() -> None:
    """As when a run was taken over, and then the lease lapses: its steps are still being executed."""
    stubborn = Stubborn()
    stage = Stage(stubborn, abandon_seconds=20)
    stage.attempts.launch([call()])
    await stubborn.begun.wait()
    ending = asyncio.create_task(stage.attempts.end("run"))
    await stubborn.cancelled.wait()
    for _ in range(2):
        ending.cancel()
        await asyncio.sleep(0.01)  # the time itself is the subject: it does not end meanwhile
        assert not ending.done()
    stubborn.let_go.set()
    with pytest.raises(asyncio.CancelledError):
        await ending


async def test_the_wait_for_a_turn_is_not_counted() -> None:
    turn, waiting = asyncio.Event(), asyncio.Event()

    class Busy(Executor):
        async def execute(self, call: SkillCall, begun: OnBegun = ignore) -> Output:
            waiting.set()
            await turn.wait()
            begun()
            return await self._perform(call)

    async def perform(_call: SkillCall) -> Output:
        return Output({"made": 1})

    told = asyncio.Event()
    attempts = Attempts(Busy(perform), lambda: 17, OFF, told.set, abandon_seconds=0.05)
    attempts.launch([call(timeout_ms=1)])
    await waiting.wait()
    await asyncio.sleep(0.2)  # the time itself is the subject: longer than it may take
    assert attempts.take() == []
    turn.set()
    await told.wait()
    (outcome,) = attempts.take()
    assert isinstance(outcome, CompleteStep)
