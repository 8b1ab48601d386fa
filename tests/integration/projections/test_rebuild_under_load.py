"""Rebuilds while the log grows, while somebody reads, and while they are killed."""

import asyncio
import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil
import psycopg
import pytest

from benchmarks.histories import make_log, make_read_models
from orchestrator.application.core import Core
from orchestrator.bootstrap.showing import open_projector
from orchestrator.postgres.sql import load_sql
from tests.integration.projections.test_read_models import dump
from tests.waiting import eventually, until
from tests.world.core import World, open_world

SQL = load_sql(__file__)
NAMES = ("runs", "run_steps", "artifacts")
LOG_EVENTS = 60_000
EVENTS_A_SECOND = 2000


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with open_world(database_url, tmp_path) as opened:
        yield opened


@contextmanager
def writing(database_url: str) -> Iterator[list[float]]:
    """Another process appends at a steady pace; afterwards the list holds how many events a second there were."""
    words = [sys.executable, "-m", "tests.integration.projections.writing", database_url, str(EVENTS_A_SECOND)]
    rate: list[float] = []
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield rate
        finally:
            out, _ = process.communicate(timeout=60)
    written, seconds = json.loads(out)
    rate.append(written / seconds)


@dataclass
class Reader:
    """Reads in a loop, as a status page does, and says what was wrong."""

    core: Core
    known: str
    stopping: threading.Event = field(default_factory=threading.Event)
    reads: int = 0
    faults: list[str] = field(default_factory=list)

    def work(self) -> None:
        reader, rows = self.core.reader, 0
        run = reader.folded_run(self.core.runs.load(self.known))
        steps = reader.folded_steps(self.core.runs.load(self.known))
        while not self.stopping.is_set():
            try:
                self._expect(reader.run("default", self.known) == run, "a run that is over is another one")
                self._expect(reader.steps("default", self.known) == steps, "its steps are others")
                newest, _ = reader.runs("default", limit=50)
                self._expect(len(newest) == 50, "runs are missing")
                for view in newest:
                    summary = view["stepsSummary"]
                    self._expect(summary["completed"] <= summary["total"] == 13, f"a summary is wrong: {summary}")
                found = self._count()
                self._expect(found >= rows, f"{rows - found} runs are gone")
                rows = found
                self.reads += 1
            except Exception as error:  # noqa: BLE001 - every failed read counts
                self.faults.append(repr(error))

    def _count(self) -> int:
        with self.core.database.connection() as connection:
            row = connection.execute(SQL.count, prepare=True).fetchone()
        return int(row["count"]) if row else 0

    def _expect(self, is_so: bool, otherwise: str) -> None:
        if not is_so:
            self.faults.append(otherwise)


async def test_readers_and_writers_do_not_notice(world: World, database_url: str, tmp_path: Path) -> None:
    await make_log(world.core, LOG_EVENTS)
    make_read_models(world.core)
    known = world.core.reader.runs("default", limit=200)[0][-1]["id"]
    reader = Reader(world.core, known)
    thread = threading.Thread(target=reader.work)
    with open_world(database_url, tmp_path) as other, open_projector(other.core):
        with writing(database_url) as rate:
            before = world.core.log.last_position()
            await until(world.core.log.last_position, what="runs go on", right=lambda last: last >= before + 100)
            thread.start()
            reports = [world.core.read_models.rebuild(name, processes=2) for name in NAMES]
        reader.stopping.set()
        thread.join()
        await world.projected()
    assert reader.faults == []
    assert reader.reads > 10
    assert [report.differing for report in reports] == [0, 0, 0]
    assert min(report.position for report in reports) > LOG_EVENTS
    assert rate[0] > 1000
    assert [world.core.read_models.verify(name).differing for name in NAMES] == [0, 0, 0]


def rebuilding(database_url: str, folder: Path, name: str) -> "subprocess.Popen[bytes]":
    words = [sys.executable, "-m", "orchestrator", "projections", "rebuild", name, "--processes", "3", "--json"]
    settings = {"ORCHESTRATOR_DATABASE_URL": database_url, "ORCHESTRATOR_DATA_DIR": str(folder)}
    return subprocess.Popen(words, env=settings, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def gone(processes: list[psutil.Process]) -> bool:
    return all(not one.is_running() or one.status() == psutil.STATUS_ZOMBIE for one in processes)


@pytest.mark.chaos
@pytest.mark.parametrize("name", ["runs", "run_steps"])
def test_killed_at_random_points_it_goes_on_to_the_same_result(
    world: World, database_url: str, tmp_path: Path, name: str
) -> None:
    asyncio.run(make_log(world.core, 4 * LOG_EVENTS))
    make_read_models(world.core)
    right = dump(world.core)
    with psycopg.connect(database_url) as connection:
        connection.execute(SQL[f"damage_{name}"])

    def has_begun(process: "subprocess.Popen[bytes]") -> bool:
        return world.core.read_models.standing(name).rebuild is not None or process.poll() is not None

    source, kills, points = random.Random(), 0, []
    while kills < 4:
        process = rebuilding(database_url, tmp_path, name)
        eventually(partial(has_begun, process), what="the rebuild has begun")
        time.sleep(source.uniform(0.0, 1.5))  # the time itself is the subject: it is killed at any point
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if process.returncode != -signal.SIGKILL:
            break  # it was done before it could be killed
        kills += 1
        eventually(partial(gone, children), what="what it had started does not go on without it")
        standing = world.core.read_models.standing(name).rebuild
        points.append(None if standing is None else standing.events)
    else:
        process = rebuilding(database_url, tmp_path, name)
        out, _ = process.communicate(timeout=60)
        (report,) = json.loads(out)["reports"]
        # what the server was about to commit when its client was killed may have come after the last look
        assert report["resumedAt"] >= (points[-1] or 0)
    assert kills > 0
    assert dump(world.core) == right
    assert world.core.read_models.verify(name).differing == 0
