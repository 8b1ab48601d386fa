"""Killed at any point, an archivist has lost nothing and left nothing half done; the next one goes on."""

import asyncio
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator.application.core import Core
from orchestrator.bootstrap.retaining import build_inspector
from orchestrator.retention.archive import Archive
from tests.integration.retention.test_retention import NO_CACHE, all_is_well, in_log, plain
from tests.world.core import open_world
from tests.world.echo import open_echo_world

RUNS, KILLS = 24, 5
PROGRAM = """
import sys
from orchestrator.application.clock import now
from orchestrator.bootstrap.core import open_core
from orchestrator.bootstrap.retaining import build_archivist
from orchestrator.settings import load_settings

with open_core(load_settings()) as core:
    print("ready", flush=True)
    build_archivist(core, "killed", max_runs=2).apply(now() + 1, lambda runs, total: print(runs, flush=True))
"""


def places(core: Core, runs: set[str]) -> tuple[set[str], list[str]]:
    """The runs that are in the log, and those in files that were recorded."""
    archive = Archive(core.settings.archive_url)
    filed = [
        str(stream)
        for file in build_inspector(core).archives()
        for stream in {row[0] for row in archive.read(file.name)}
    ]
    return runs & in_log(core), filed


async def fill(database_url: str, folder: Path) -> set[str]:
    """Runs that may leave, and one that holds the newest event."""
    async with open_echo_world(database_url, folder) as here:
        await here.register(NO_CACHE)
        runs = set(await asyncio.gather(*(plain(here, first=number) for number in range(RUNS))))
        await plain(here)
        await here.projected()
    return runs


def apply(variables: dict[str, str], killed_after: float | None) -> int:
    """Run an archivist, kill it when some seconds have passed; returns its exit code."""
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], env=variables, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "ready\n"
        if killed_after is not None:
            process.stdout.readline()  # the first file is done
            time.sleep(killed_after)  # the time itself is the subject: it is killed at any point
            process.kill()
        return process.wait()


@pytest.mark.chaos
def test_killed_at_any_point_nothing_is_lost(database_url: str, tmp_path: Path) -> None:
    runs = asyncio.run(fill(database_url, tmp_path))
    variables = {**os.environ, "ORCHESTRATOR_DATABASE_URL": database_url, "ORCHESTRATOR_DATA_DIR": str(tmp_path)}
    chance = random.Random()
    with open_world(database_url, tmp_path) as world:
        for killed_after in (*(chance.random() * 0.1 for _ in range(KILLS)), None):
            code = apply(variables, killed_after)
            still, filed = places(world.core, runs)
            assert len(filed) == len(set(filed))  # in one file
            assert still.isdisjoint(filed)  # in one place
            assert still | set(filed) == runs  # and nowhere else
        assert (code, still) == (0, set())
        all_is_well(world.core)
