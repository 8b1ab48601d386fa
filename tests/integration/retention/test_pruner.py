"""Which content is named, and how old it must be: the questions of the pruner."""

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import pytest

from orchestrator import StepContext, skill
from orchestrator.application.commands import Wanted
from orchestrator.bootstrap.retaining import build_pruner
from orchestrator.postgres.database import Database
from orchestrator.retention.pruner import MARGIN_SECONDS
from orchestrator.retention.turn import RetentionRunning, exclusively
from orchestrator.skills.registry import SkillRegistry
from tests.integration.audit.campaign import every_fate
from tests.world.core import CALLER
from tests.world.echo import open_echo_world

SLOW = {"workflowName": "slow", "version": "1", "steps": [{"stepId": "one", "skillId": "test.slow"}]}


def files(folder: Path) -> dict[str, bytes]:
    """Return all content of the tenant by its hash."""
    root = folder / "artifacts/default/sha256"
    return {path.parent.name + path.name: path.read_bytes() for path in root.glob("??/*")}


async def test_every_content_of_every_fate_is_named(database_url: str, tmp_path: Path) -> None:
    async with open_echo_world(database_url, tmp_path) as here:
        await every_fate(here)
        await here.projected()
        pruner = build_pruner(here.core)
        named = await asyncio.to_thread(pruner.named.all)
        stored = {bytes.fromhex(content_hash) for content_hash in files(tmp_path)}
        assert stored
        assert stored <= named
        assert set(pruner.named.in_rows()) == {content.hex() for content in named}
        one = stored.pop().hex()
        assert set(pruner.named.in_rows([one])) == {one}
        assert set(pruner.named.in_rows([])) == set()


async def test_what_is_newer_than_the_oldest_executing_attempt_stays(database_url: str, tmp_path: Path) -> None:
    began, gate = asyncio.Event(), asyncio.Event()

    @skill("test.slow")
    async def slow(input: dict[str, Any], ctx: StepContext) -> dict[str, Any]:
        await asyncio.to_thread(ctx.artifact, b"half of it", type="text/plain", filename="half.txt")
        began.set()
        await gate.wait()
        return {}

    registry = SkillRegistry()
    registry.add(slow)
    async with open_echo_world(database_url, tmp_path, registry) as here:
        await here.register(SLOW)
        pruner = build_pruner(here.core)
        assert abs(time.time() - await asyncio.to_thread(pruner.oldest_needed)) < 30
        accepted = await here.core.commands.trigger(CALLER, Wanted("slow"))
        await began.wait()
        needed = await asyncio.to_thread(pruner.oldest_needed)
        (loaded,) = [await here.core.database.call(here.core.runs.load, accepted.run_id)]
        assert needed == pytest.approx(loaded.run.steps["one"].started_at / 1000 - MARGIN_SECONDS)
        (path,) = (tmp_path / "artifacts/default/sha256").glob("??/*")
        done = await asyncio.to_thread(pruner.prune, 3600)
        assert (done.sweep.removed, done.sweep.too_new) == (0, 1)
        gate.set()
        await here.finished(accepted)
        os.utime(path, (1, 1))
        done = await asyncio.to_thread(pruner.prune, 3600)
        assert (done.sweep.removed, done.sweep.named) == (0, 1)
        assert path.exists()


async def test_one_at_a_time(database_url: str, tmp_path: Path) -> None:
    async with open_echo_world(database_url, tmp_path) as here:
        other = Database(database_url)
        try:
            with exclusively(other), pytest.raises(RetentionRunning, match="another process"):
                await asyncio.to_thread(build_pruner(here.core).prune, 3600)
        finally:
            other.close()
        assert (await asyncio.to_thread(build_pruner(here.core).prune, 3600)).sweep.removed == 0
