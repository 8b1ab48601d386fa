"""Skills of the campaign-shaped runs: what a step makes depends on its input alone."""

import asyncio
import os
from collections.abc import Mapping
from typing import Any

from orchestrator import SkillError, StepContext, skill
from orchestrator.domain.fingerprint import fingerprint

SECONDS = float(os.environ.get("CHAOS_STEP_SECONDS", "0.02"))


def made(given: Mapping[str, Any]) -> dict[str, str]:
    """What a step makes of an input."""
    return {"made": fingerprint(given)[:16]}


@skill("chaos.steady")
async def steady(given: dict[str, Any], ctx: StepContext) -> dict[str, str]:
    await asyncio.sleep(SECONDS)
    return made(given)


@skill("chaos.moody")
async def moody(given: dict[str, Any], ctx: StepContext) -> dict[str, str]:
    """Fails on every odd attempt."""
    await asyncio.sleep(SECONDS)
    if ctx.attempt % 2:
        raise SkillError("MOODY", "not this time")
    return made(given)
