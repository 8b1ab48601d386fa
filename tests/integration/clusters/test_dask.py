"""The suite on a real Dask cluster: a scheduler, a nanny and a worker process on loopback."""

import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest

from benchmarks.dask_engine import DaskEngine
from orchestrator.clusters.dask import DaskCluster
from tests.integration.clusters.attempts import SKILLS, Attempts
from tests.integration.clusters.suite import Conformance, outcomes
from tests.waiting import until

__all__ = ["outcomes"]


class Damageable(DaskEngine):
    """A Dask cluster that can lose its scheduler."""

    def lose(self) -> None:
        self.kill_scheduler()

    def restore(self) -> None:
        """Start a scheduler and new workers: those of a scheduler that was lost end."""
        self.stop_workers()
        self.start_scheduler()
        self.start_workers()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Damageable]:
    with Damageable(tmp_path_factory.mktemp("dask"), str(SKILLS)) as running:
        yield running


@pytest.fixture
async def cluster(engine: Damageable, attempts: Attempts) -> AsyncIterator[DaskCluster]:
    opened = DaskCluster(engine.url, attempts.store)
    yield opened
    await opened.close()


class TestDask(Conformance):
    """The suite."""


async def test_a_scheduler_that_executes_tasks_again_is_warned_of_and_executes_no_skill_again(
    attempts: Attempts, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with DaskEngine(tmp_path, str(SKILLS), workers=2, allowed_failures=3) as engine:
        cluster = DaskCluster(engine.url, attempts.store)
        work = attempts.work("deaf")
        with caplog.at_level(logging.WARNING, "orchestrator"):
            await cluster.submit(work)
        assert "ALLOWED_FAILURES=0" in caplog.text
        (pid,) = await until(lambda: attempts.executions(work), what="it executes")
        (executing,) = [
            each for each in engine.worker_processes() if pid in [child.pid for child in each.children(recursive=True)]
        ]
        executing.kill()
        name, ended = await anext(aiter(cluster.outcomes()))
        assert (name, "has begun before" in str(ended.reason)) == (work.name, True)
        assert (len(attempts.executions(work)), psutil.pid_exists(pid)) == (1, False)
        await cluster.close()


async def test_another_owner_adopts_what_the_scheduler_has(engine: Damageable, attempts: Attempts) -> None:
    first, second = (DaskCluster(engine.url, attempts.store) for _ in range(2))
    work = attempts.work("hang")
    await first.submit(work)
    await until(lambda: attempts.executions(work), what="it executes")
    await first.close()
    assert (await second.listing())[work.name] == "executing"
    await second.submit(work)
    await second.cancel(work.name, kill=False)
    assert (await anext(aiter(second.outcomes())))[0] == work.name
    assert (len(attempts.executions(work)), attempts.error(work).code) == (1, "SKILL_CANCELLED")
    await second.close()
