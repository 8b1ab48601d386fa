"""A worker whose loop fails takes its process with it, rather than leaving one that only looks alive."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from orchestrator.application.core import Core
from orchestrator.bootstrap.core import open_core
from orchestrator.bootstrap.working import open_worker
from orchestrator.postgres.listener import QUEUE, Listener
from orchestrator.settings import load_settings
from orchestrator.skills import SkillRegistry


class Deaf(Listener):
    """A listener that does not take requests for the queue."""

    def on(self, channel: str, callback: Callable[[str], None]) -> None:
        if channel == QUEUE:
            raise LookupError("deaf")


async def work_for(seconds: float, core: Core) -> None:
    async with open_worker(core, SkillRegistry()):
        await asyncio.sleep(seconds)  # the time itself is the subject: it works for so long


async def test_the_error_that_ends_the_loop_ends_the_process(database_url: str) -> None:
    with open_core(load_settings(database_url=database_url)) as core:
        deaf, begun = replace(core, listener=Deaf(database_url)), time.monotonic()
        with pytest.raises(LookupError, match="deaf"):
            await work_for(20, deaf)
        assert time.monotonic() - begun < 15, "it ended when its time was up, not when the loop failed"


async def test_a_worker_that_is_told_to_stop_ends_nothing(database_url: str) -> None:
    with open_core(load_settings(database_url=database_url)) as core:
        async with open_worker(core, SkillRegistry()) as worker:
            await asyncio.sleep(0.1)  # the time itself is the subject: it does not stop by itself
            assert not worker.is_stopping
        assert worker.is_stopping
        await asyncio.sleep(0)
