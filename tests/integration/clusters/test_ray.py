"""The suite on a real Ray cluster, in a network namespace. Ray comes with `make install-ray`."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec

import psutil
import pytest

from benchmarks.ray_engine import RayEngine, own_network
from orchestrator.clusters.contract import ClusterUnavailable
from orchestrator.clusters.ray import RayCluster
from tests.integration.clusters.attempts import SKILLS, Attempts
from tests.integration.clusters.suite import Conformance, Outcomes, outcomes
from tests.waiting import until

__all__ = ["outcomes"]

pytestmark = [
    pytest.mark.skipif(find_spec("ray") is None, reason="run `make install-ray`"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a network namespace"),
]


class Damageable(RayEngine):
    """A Ray cluster that can be lost."""

    def lose(self) -> None:
        self.stop()

    def restore(self) -> None:
        self.start()


@pytest.fixture(scope="module")
def engine() -> Iterator[Damageable]:
    with own_network(), Damageable(str(SKILLS)) as running:
        yield running


@pytest.fixture
async def cluster(engine: Damageable, attempts: Attempts) -> AsyncIterator[RayCluster]:
    opened = RayCluster(engine.url, attempts.store)
    yield opened
    await opened.close()


class TestRay(Conformance):
    """The suite."""

    async def test_a_killed_gateway_is_a_lost_cluster(
        self, cluster: RayCluster, attempts: Attempts, outcomes: Outcomes
    ) -> None:
        work, later = attempts.work("hang"), attempts.work("add", a=1, b=2)
        await cluster.submit(work)
        (pid,) = await until(lambda: attempts.executions(work), what="it executes")
        (gateway,) = [each for each in psutil.Process().children() if "ray_gateway" in " ".join(each.cmdline())]
        gateway.kill()
        await until(lambda: outcomes.lost == 1, what="the loss is said")
        await until(lambda: not psutil.pid_exists(pid), what="the skill has ended with its driver")
        await cluster.submit(later)
        assert (await outcomes.of(later)).reason is None
        assert "gateway" in str((await outcomes.of(work)).reason)
        assert len(attempts.executions(work)) == 1


async def test_a_cluster_that_is_not_there_is_away(attempts: Attempts) -> None:
    with own_network():
        cluster = RayCluster("ray://127.0.0.1:1", attempts.store)
        for _ in range(2):
            with pytest.raises(ClusterUnavailable, match="unavailable"):
                async with asyncio.timeout(90):
                    await cluster.submit(attempts.work("add", a=1, b=2))
        await cluster.close()
