"""What every adapter must do, whatever its engine. A class per engine derives from `Conformance`.

The engine is real: its processes are started by the fixture `engine` and killed by the tests.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Protocol

import psutil
import pytest

from orchestrator.clusters.contract import Cluster, ClusterUnavailable, Ended, Record, Resources, Work, fence_hash
from orchestrator.domain.output import Output
from tests.integration.clusters.attempts import TENANT, Attempts, other_version
from tests.waiting import until


class Engine(Protocol):
    """A running engine that can be damaged."""

    def kill_worker(self) -> None:
        """Kill the process that executes an attempt."""

    def lose(self) -> None:
        """Kill what the adapter is connected to."""

    def restore(self) -> None:
        """Start what `lose` killed."""


class Outcomes:
    """What a cluster says, collected in the background."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.ended: dict[str, Ended] = {}
        self.said: list[str] = []
        self.lost = 0

    async def collect(self) -> None:
        while True:
            try:
                async for name, ended in self._cluster.outcomes():
                    self.ended[name] = ended
                    self.said.append(name)
            except ClusterUnavailable:
                self.lost += 1

    async def of(self, work: Work, seconds: float = 60.0) -> Ended:
        return await until(
            lambda: self.ended.get(work.name), seconds, right=lambda ended: ended is not None, what="it has ended"
        )


@pytest.fixture
async def outcomes(cluster: Cluster) -> AsyncIterator[Outcomes]:
    found = Outcomes(cluster)
    collecting = asyncio.create_task(found.collect())
    yield found
    collecting.cancel()


class Conformance:
    """The tests. A subclass provides the fixtures `engine`, `attempts` and `cluster`."""

    async def test_the_result_is_read_from_the_record(
        self, cluster: Cluster, attempts: Attempts, outcomes: Outcomes
    ) -> None:
        work = attempts.work("add", a=1, b=2)
        await cluster.submit(work)
        assert await outcomes.of(work) == Ended()
        record = await cluster.record(TENANT, work.name, fence_hash(work.fence))
        assert record is not None
        assert isinstance(record.outcome, Output)
        assert record.outcome.data["sum"] == 3
        assert await cluster.record(TENANT, work.name, fence_hash("another")) is None

    async def test_an_error_is_in_the_record(self, cluster: Cluster, attempts: Attempts, outcomes: Outcomes) -> None:
        work = attempts.work("fail")
        await cluster.submit(work)
        assert await outcomes.of(work) == Ended()
        assert attempts.error(work).message == "ValueError: the skill failed"

    async def test_artifacts_are_in_the_store(self, cluster: Cluster, attempts: Attempts, outcomes: Outcomes) -> None:
        work = attempts.work("make", size=20_000)
        await cluster.submit(work)
        await outcomes.of(work)
        output = attempts.output(work)
        assert attempts.store.read(output.artifacts[0], TENANT) == b"made far away"
        assert output.data_ref is not None

    async def test_submitting_again_does_nothing(
        self, cluster: Cluster, attempts: Attempts, outcomes: Outcomes
    ) -> None:
        work = attempts.work("nap", seconds=0.3)
        await asyncio.gather(*(cluster.submit(work) for _ in range(3)))
        await cluster.submit(work)
        await outcomes.of(work)
        await cluster.submit(work)
        await until(lambda: outcomes.said.count(work.name) == 2, what="the second submission has ended")
        assert len(attempts.executions(work)) == 1

    async def test_the_listing_names_what_executes(
        self, cluster: Cluster, attempts: Attempts, outcomes: Outcomes
    ) -> None:
        work = attempts.work("hang")
        assert work.name not in await cluster.listing()
        await cluster.submit(work)
        await until(lambda: attempts.executions(work), what="it executes")
        assert (await cluster.listing())[work.name] == "executing"
        await cluster.cancel(work.name, kill=False)
        await outcomes.of(work)
        assert (await cluster.listing()).get(work.name, "ended") == "ended"

    async def test_what_is_in_the_record_is_not_executed(
        self, cluster: Cluster, attempts: Attempts, outcomes: Outcomes
    ) -> None:
        work = attempts.work("add", a=1, b=2)
        attempts.records.write(TENANT, work.name, fence_hash(work.fence), Record(Output("there"), 1.0))
        await cluster.submit(work)
        assert await outcomes.of(work) == Ended()
        assert (attempts.output(work).data, attempts.executions(work)) == ("there", [])

    async def test_a_mismatch_executes_nothing(self, cluster: Cluster, attempts: Attempts, outcomes: Outcomes) -> None:
        work = other_version(attempts.work("add", a=1, b=2))
        await cluster.submit(work)
        ended = await outcomes.of(work)
        assert ended.code == "EXECUTOR_MISMATCH"
        assert "far.add@9.9.9 is needed" in str(ended.reason)
        assert attempts.executions(work) == []

    @pytest.mark.parametrize("kill", [False, True], ids=["asked", "killed"])
    async def test_running_code_is_cancelled_within_2_seconds(
        self, cluster: Cluster, attempts: Attempts, outcomes: Outcomes, kill: bool
    ) -> None:
        work = attempts.work("deaf" if kill else "hang")
        await cluster.submit(work)
        (pid,) = await until(lambda: attempts.executions(work), what="it executes")
        asked = time.monotonic()
        await cluster.cancel(work.name, kill=kill)
        await outcomes.of(work)
        assert time.monotonic() - asked < 2.0
        if kill:
            await until(lambda: not psutil.pid_exists(pid), seconds=1.0, what="its process is gone")

    async def test_cancelling_what_is_unknown_is_no_error(self, cluster: Cluster) -> None:
        await cluster.cancel("0" * 32, kill=True)

    async def test_a_resource_that_nobody_has_waits(
        self, cluster: Cluster, attempts: Attempts, outcomes: Outcomes
    ) -> None:
        work = replace(attempts.work("add", a=1, b=2), requires=("moon",), resources=Resources(gpu=3.0))
        await cluster.submit(work)
        await until(cluster.listing, right=lambda found: found.get(work.name) == "waiting", what="it waits")
        await cluster.cancel(work.name, kill=False)
        assert (await outcomes.of(work)).reason is not None
        assert attempts.executions(work) == []

    async def test_a_label_that_a_worker_has_is_found(
        self, cluster: Cluster, attempts: Attempts, outcomes: Outcomes
    ) -> None:
        work = replace(attempts.work("add", a=1, b=2), requires=("eu",))
        await cluster.submit(work)
        assert await outcomes.of(work) == Ended()

    async def test_a_killed_child_is_a_lost_attempt(
        self, cluster: Cluster, attempts: Attempts, outcomes: Outcomes
    ) -> None:
        work = attempts.work("deaf")
        await cluster.submit(work)
        (pid,) = await until(lambda: attempts.executions(work), what="it executes")
        os.kill(pid, signal.SIGKILL)
        await outcomes.of(work)
        assert attempts.error(work).code == "WORKER_LOST"
        assert len(attempts.executions(work)) == 1

    async def test_a_killed_worker_executes_nothing_twice(
        self, engine: Engine, cluster: Cluster, attempts: Attempts, outcomes: Outcomes
    ) -> None:
        work = attempts.work("deaf")
        await cluster.submit(work)
        (pid,) = await until(lambda: attempts.executions(work), what="it executes")
        await asyncio.to_thread(engine.kill_worker)
        assert (await outcomes.of(work)).reason is not None
        await until(lambda: not psutil.pid_exists(pid), what="the skill has ended with the worker")
        again = attempts.work("add", a=1, b=2)
        await cluster.submit(again)
        await outcomes.of(again)
        assert (len(attempts.executions(work)), attempts.record(work)) == (1, None)

    async def test_a_lost_engine_is_said_and_found_again(
        self, engine: Engine, cluster: Cluster, attempts: Attempts, outcomes: Outcomes
    ) -> None:
        work, later = attempts.work("hang"), attempts.work("add", a=1, b=2)
        await cluster.submit(work)
        await until(lambda: attempts.executions(work), what="it executes")
        await asyncio.to_thread(engine.lose)
        await until(lambda: outcomes.lost > 0, what="the loss is said")
        with pytest.raises(ClusterUnavailable):
            await cluster.submit(later)
        await asyncio.to_thread(engine.restore)
        await until(lambda: submitted(cluster, later), what="the engine is found again")
        assert await outcomes.of(later) == Ended()
        assert (await outcomes.of(work)).reason is not None
        assert len(attempts.executions(work)) == 1
        assert len(attempts.executions(later)) == 1

    async def test_the_event_loop_is_never_held(self, cluster: Cluster, attempts: Attempts, outcomes: Outcomes) -> None:
        busiest = longest = 0.0

        async def beat() -> None:
            nonlocal busiest, longest
            while True:
                cpu, began = time.thread_time(), time.monotonic()
                await asyncio.sleep(0.001)  # the time itself is the subject
                busiest, longest = max(busiest, time.thread_time() - cpu), max(longest, time.monotonic() - began)

        beating = asyncio.create_task(beat())
        works = [attempts.work("nap", seconds=0.01) for _ in range(40)]
        await asyncio.gather(*(cluster.submit(work) for work in works))
        for work in works:
            await outcomes.of(work)
        beating.cancel()
        assert busiest < 0.050  # CPU of the loop's thread, which other processes do not lengthen
        assert longest < 1.0


async def submitted(cluster: Cluster, work: Work) -> bool:
    try:
        await cluster.submit(work)
    except ClusterUnavailable:
        return False
    return True
