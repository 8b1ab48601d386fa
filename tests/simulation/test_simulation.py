"""The simulation as part of the suite: 2,500 fixed schedules, and a few that show one thing each."""

import asyncio
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.domain.events import (
    RunBlocked,
    RunCancelled,
    RunCompleted,
    RunRecovered,
    StepCompleted,
    StepRetried,
    StepStarted,
)
from orchestrator.domain.workflow import CachePolicy, RetryPolicy, Step, Workflow
from orchestrator.eventstore import writer
from tests.simulation.awaits import awaits, waiting
from tests.simulation.host import Host
from tests.simulation.scenario import Request, Scenario, scenario
from tests.simulation.schedule import Play, play
from tests.simulation.server import Weather
from tests.simulation.stage import COMMON, RARE

CALM = Weather(latency=0.0, news_latency=0.0)
Act = Callable[[Play], Coroutine[Any, Any, None]]


def test_no_schedule_breaks_a_promise() -> None:
    """Two processes, since each plays on one core; `PYTHONHASHSEED` is theirs to set."""
    halves = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.simulation", "--seed", str(first), "--schedules", "1250"],
            stdout=subprocess.PIPE,
            text=True,
        )
        for first in (0, 1250)
    ]
    told = [half.communicate()[0] for half in halves]
    assert [half.returncode for half in halves] == [0, 0], "\n".join(told)
    assert sum(int(found) for text in told for found in re.findall(r"^(\d+) schedules", text, re.MULTILINE)) >= 2500


def test_a_seed_always_goes_the_same_way() -> None:
    code = "from tests.simulation import scenario, schedule; print(schedule.play(scenario.scenario(57)).events)"
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    one, other = (subprocess.check_output([sys.executable, "-c", code], env=environment) for _ in range(2))
    assert one == other
    assert len(one) > 1000


def test_schedules_differ() -> None:
    assert play(scenario(1)).events != play(scenario(2)).events


ROUGH = Weather(refused=0.1, lost=0.1, limbo=0.15, latency=0.2, news_latency=0.3, news_twice=0.3)


def test_a_worker_killed_at_any_await_of_the_writer_breaks_no_promise() -> None:
    """Schedules in rough weather, each with an ambush: the first worker that comes by where none was killed yet, is."""
    elsewhere = {place for place in awaits(writer) if "submitted" in place}  # of appends from another thread's loop
    left = awaits(writer) - elsewhere
    assert len(elsewhere) == 1
    assert len(left) > 10
    for seed in range(40, 2000):
        random.seed(seed)
        scene = Play(replace(scenario(seed), weather=ROUGH))

        def ambush(scene: Play = scene) -> None:
            for host in scene.hosts:
                tasks = (task for task in host.process.tasks if not task.done())
                if host.process.alive and any(place in left for task in tasks for place in waiting(task, writer)):
                    host.kill()
                    left.difference_update(scene.loop.killed_at)

        scene.loop.watch = ambush
        assert scene.play().faults == [], f"seed {seed}"
        if not left:
            return
    assert left == set(), "nobody came by"


def staged(
    act: Act, steps: dict[str, dict[str, Any]], *, workers: int = 1, skills: tuple[str, ...] = (COMMON,)
) -> Play:
    """Play one run of these steps in calm weather, with something done to it; nothing may be wrong afterwards."""
    random.seed(0)
    made = {
        name: Step(
            name,
            options.get("skill", COMMON),
            options.get("needs", ()),
            input={
                "nature": f"'{options.get('nature', 'steady')}'",
                "failures": f"`{options.get('failures', 0)}`",
                "seconds": f"`{options['seconds']}`" if "seconds" in options else "`null`",
            },
            cache=CachePolicy(enabled=False),
            retry=options.get("retry", RetryPolicy()),
        )
        for name, options in steps.items()
    }
    workflow = Workflow("staged", "1", made)
    request = Request(0.0, "staged", {})
    scene = Play(
        Scenario(0, {"staged": workflow}, [request], [], [skills] * workers, weather=CALM, lease_seconds=1.0), act
    )
    assert scene.play().faults == []
    return scene


def found(scene: Play, *kinds: type[Any]) -> list[Any]:
    return [one.event for one in scene.server.log.read_log(0, 1000) if isinstance(one.event, kinds)]


async def nothing(scene: Play) -> None:
    """Let it go its way."""


def test_a_retry_begins_exactly_when_the_policy_says() -> None:
    policy = RetryPolicy(max_attempts=5, backoff_ms=300, max_backoff_ms=1000, multiplier=2.0, jitter=0.0)
    scene = staged(nothing, {"a": {"nature": "flaky", "failures": 4, "retry": policy}})
    retries = found(scene, StepRetried)
    assert [retry.due_at - retry.at for retry in retries] == [300, 600, 1000, 1000]
    assert [start.at for start in found(scene, StepStarted)][1:] == [retry.due_at for retry in retries]


def test_chance_moves_a_retry_within_the_policys_bounds() -> None:
    policy = RetryPolicy(max_attempts=5, backoff_ms=1000, max_backoff_ms=1000, multiplier=1.0, jitter=0.25)
    scene = staged(nothing, {"a": {"nature": "flaky", "failures": 4, "retry": policy}})
    retries = found(scene, StepRetried)
    pauses = [retry.due_at - retry.at for retry in retries]
    assert len(set(pauses)) == 4
    assert all(750 <= pause <= 1250 for pause in pauses)
    assert [start.at for start in found(scene, StepStarted)][1:] == [retry.due_at for retry in retries]


@pytest.mark.parametrize("hours", [-1, 1, -24 * 365])
def test_a_retry_is_due_though_the_clock_was_wrong_for_a_while(hours: int) -> None:
    """It was set during the pause, and put right again half a minute later."""

    async def act(scene: Play) -> None:
        await asyncio.sleep(1)
        scene.clock_is_off_ms = hours * 3_600_000
        await asyncio.sleep(30)
        scene.clock_is_off_ms = 0

    policy = RetryPolicy(max_attempts=2, backoff_ms=5000, max_backoff_ms=5000, multiplier=1.0, jitter=0.0)
    scene = staged(act, {"a": {"nature": "flaky", "failures": 1, "retry": policy}})
    assert scene.loop.now < 100, "nobody waits for an hour that never comes"
    assert len(found(scene, StepStarted)) == 2


def test_a_cancel_reaches_the_skill_at_once() -> None:
    async def act(scene: Play) -> None:
        await asyncio.sleep(0.5)
        assert len(scene.stage.under_way) == 2
        await scene.cancel(scene.asked[0])
        await asyncio.sleep(0.001)
        assert scene.stage.under_way == set()

    scene = staged(act, {"a": {"seconds": 100}, "b": {"seconds": 100}})
    assert len(found(scene, RunCancelled)) == 1


def test_a_worker_that_leaves_keeps_what_executes_beyond_its_lease() -> None:
    """Three leases long, and nobody takes it over; then another worker goes on without waiting for a lease."""

    async def act(scene: Play) -> None:
        await asyncio.sleep(0.2)
        (owner,) = (host for host in scene.hosts if host.worker.driving)
        await leaving(scene, owner, grace_seconds=10)

    scene = staged(act, {"a": {"seconds": 2.9}, "b": {"needs": ("a",), "seconds": 0}}, workers=2)
    completed, taken = found(scene, StepCompleted)[0], found(scene, RunRecovered)
    assert len(found(scene, StepStarted)) == 2
    assert 0 <= taken[0].at - completed.at <= 10


def test_a_worker_that_leaves_hands_over_at_the_end_of_its_grace() -> None:
    async def act(scene: Play) -> None:
        await asyncio.sleep(0.2)
        (owner,) = (host for host in scene.hosts if host.worker.driving)
        await leaving(scene, owner, grace_seconds=0.5)

    scene = staged(act, {"a": {"seconds": 2}}, workers=2)
    start = found(scene, StepStarted)[0]
    assert 700 <= found(scene, RunRecovered)[0].at - start.at <= 710


def test_a_killed_workers_runs_continue_within_lease_and_a_second() -> None:
    async def act(scene: Play) -> None:
        await asyncio.sleep(0.2)
        (owner,) = (host for host in scene.hosts if host.worker.driving)
        owner.kill()

    scene = staged(act, {"a": {"seconds": 1}}, workers=2)
    first, second = found(scene, StepStarted)
    assert second.at - first.at <= 200 + 1000 + 1000
    assert second.attempt == 2


def test_a_blocked_run_goes_on_when_a_worker_that_knows_the_skill_appears() -> None:
    async def act(scene: Play) -> None:
        await asyncio.sleep(1)
        assert len(found(scene, RunBlocked)) == 1
        scene.join((COMMON, RARE))
        await asyncio.sleep(0.01)
        assert scene.stage.under_way

    scene = staged(act, {"a": {"skill": RARE, "seconds": 1}})
    assert len(found(scene, RunCompleted)) == 1


def test_a_loop_that_is_blocked_beyond_its_lease_delays_only_its_own_worker() -> None:
    """The watchdog keeps the lease: nobody takes the run over, and nothing is executed twice."""

    async def act(scene: Play) -> None:
        await asyncio.sleep(0.2)
        (owner,) = (host for host in scene.hosts if host.worker.driving)
        owner.block(5)

    scene = staged(act, {"a": {"seconds": 0.5}, "b": {"needs": ("a",), "seconds": 0}}, workers=2)
    assert found(scene, RunRecovered) == []
    assert len(found(scene, StepStarted)) == 2


def test_a_read_only_database_delays_what_executes_and_no_more_while_it_is_shorter_than_the_lease() -> None:
    async def act(scene: Play) -> None:
        await asyncio.sleep(0.1)
        scene.server.read_only = True
        await asyncio.sleep(0.4)
        scene.server.read_only = False

    scene = staged(act, {"a": {"seconds": 0.3}, "b": {"needs": ("a",), "seconds": 0}}, workers=2)
    assert found(scene, RunRecovered) == []
    assert [start.attempt for start in found(scene, StepStarted)] == [1, 1]


def test_a_worker_that_cannot_write_heartbeats_stops_executing_before_its_lease_ends() -> None:
    """And goes on when it can again."""

    async def act(scene: Play) -> None:
        await asyncio.sleep(0.2)
        assert scene.stage.under_way
        scene.server.read_only = True
        await asyncio.sleep(0.95)  # the lease is a second
        assert scene.stage.under_way == set()
        scene.server.read_only = False

    scene = staged(act, {"a": {"seconds": 5}})
    assert [start.attempt for start in found(scene, StepStarted)] == [1, 2]


def test_a_heartbeat_that_meets_a_fault_of_the_program_goes_on() -> None:
    async def act(scene: Play) -> None:
        await asyncio.sleep(0.2)
        scene.hosts[0].queue.faults = 1

    scene = staged(act, {"a": {"seconds": 4}}, workers=1)
    assert found(scene, RunRecovered) == []


async def leaving(scene: Play, host: Host, grace_seconds: float) -> None:
    await scene.loop.create_task(host.leave(grace_seconds), context=host.process.context.copy())
