"""Calls of functions as skills, and what comes of them."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.domain.output import Output
from orchestrator.skills import DaemonThreads, FunctionSkill, SkillCall, SkillError, StepContext, perform

CALL = SkillCall("run", "step", 1, "acme", "test.skill", {"x": 1})


async def performed(
    function: Callable[..., Any],
    ctx: StepContext | None = None,
    *,
    value: Any = None,
    timeout_ms: int | None = None,
) -> Output:
    call = SkillCall("run", "step", 1, "acme", "test.skill", value, timeout_ms)
    return await perform(
        FunctionSkill("test.skill", function), call, ctx or StepContext.for_call(call), DaemonThreads()
    )


def current() -> "asyncio.Task[Any]":
    task = asyncio.current_task()
    assert task is not None
    return task


async def failed(function: Callable[..., Any], **options: Any) -> SkillError:
    with pytest.raises(SkillError) as caught:
        await performed(function, **options)
    return caught.value
