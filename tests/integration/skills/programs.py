"""Programs as skills, started the way a worker starts them."""

import sys
from typing import Any

import psutil
import pytest

from orchestrator.artifacts import ArtifactStore
from orchestrator.domain.output import Output
from orchestrator.skills import CommandSkill, DaemonThreads, SkillCall, SkillError, StepContext, perform


async def run(
    source: str | tuple[str, ...],
    store: ArtifactStore | None = None,
    *,
    value: Any = None,
    timeout_ms: int | None = None,
    **options: Any,
) -> Output:
    """Run Python source (or a command) as a skill."""
    command = (sys.executable, "-c", source) if isinstance(source, str) else source
    call = SkillCall("run", "step", 2, "acme", "test.command", value, timeout_ms)
    ctx = StepContext.for_call(call, store)
    return await perform(CommandSkill("test.command", command, **options), call, ctx, DaemonThreads())


async def failed(source: str | tuple[str, ...], store: ArtifactStore | None = None, **options: Any) -> SkillError:
    with pytest.raises(SkillError) as caught:
        await run(source, store, **options)
    return caught.value


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
