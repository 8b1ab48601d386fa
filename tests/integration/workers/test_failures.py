"""Steps that fail: retried on real time, given up, never reached; skills nobody knows."""

import asyncio
import time
from itertools import pairwise
from pathlib import Path

from orchestrator.bootstrap.showing import open_projector
from orchestrator.bootstrap.working import open_worker
from orchestrator.domain.workflow import RetryPolicy
from tests.waiting import until
from tests.world.core import CALLER, World, open_world, statuses
from tests.world.work import Journal
from tests.world.workflows import step, workflow

QUICK = RetryPolicy(max_attempts=3, backoff_ms=100, multiplier=2.0, jitter=0.1)


class TestRetries:
    async def test_a_step_that_fails_twice_completes_at_the_third_attempt(self, world: World, journal: Journal) -> None:
        await world.register(workflow("flaky", step("a", retry=QUICK, fails="`2`"), step("b", "a")))
        async with open_worker(world.core, journal.registry()) as worker:
            run = await world.run("flaky")
        assert run.status == "completed"
        assert [(call.step, call.attempt) for call in journal.calls] == [("a", 1), ("a", 2), ("a", 3), ("b", 1)]
        first, second, third, _ = journal.calls
        assert 0.09 <= second.began - (first.ended or 0) < 2, "100 ms, give or take a tenth"
        assert 0.18 <= third.began - (second.ended or 0) < 2, "twice as long"
        past = run.step("a").past
        assert [(item.number, item.worker) for item in past] == [(1, worker.identity.id), (2, worker.identity.id)]
        assert [item.error.code for item in past if item.error] == ["BROKEN", "BROKEN"]
        assert run.step("a").error is None

    async def test_each_pause_is_the_policys_within_50_milliseconds(self, world: World, journal: Journal) -> None:
        """R18, in real time: never earlier; and not later either, but for a moment when the machine is elsewhere."""
        retry = RetryPolicy(max_attempts=5, backoff_ms=50, max_backoff_ms=300, multiplier=2.0, jitter=0.0)
        await world.register(workflow("paced", *(step(name, retry=retry, fails="`4`") for name in "abc")))
        async with open_worker(world.core, journal.registry()):
            assert (await world.run("paced")).status == "completed"
        late = []
        for name in "abc":
            calls = [call for call in journal.calls if call.step == name]
            pauses = [(after.began - (before.ended or 0)) * 1000 for before, after in pairwise(calls)]
            late += [pause - asked for pause, asked in zip(pauses, (50, 100, 200, 300), strict=True)]
        assert min(late) > -2, "the log's clock counts whole milliseconds"
        assert sorted(late)[len(late) // 2] < 50

    async def test_the_attempts_are_shown(self, world: World, journal: Journal) -> None:
        await world.register(workflow("flaky", step("a", retry=QUICK, fails="`1`")))
        with open_projector(world.core):
            async with open_worker(world.core, journal.registry()):
                run = await world.run("flaky")
            await world.projected()
        (view,) = world.core.reader.folded_steps(world.core.runs.load(run.id))
        assert (view["status"], view["attempt"], view["error"]) == ("completed", 2, None)
        (attempt,) = view["attempts"]
        assert (attempt["number"], attempt["error"]["code"], attempt["worker"]) == (1, "BROKEN", view["worker"])
        assert attempt["startedAt"] <= attempt["endedAt"] <= view["startedAt"] <= view["endedAt"]
        assert attempt["durationMs"] >= 0

    async def test_the_step_waits_visibly(self, world: World, journal: Journal) -> None:
        slow = RetryPolicy(max_attempts=2, backoff_ms=60_000)
        await world.register(workflow("slow", step("a", retry=slow, fails="`1`")))
        async with open_worker(world.core, journal.registry()):
            run_id = await world.trigger("slow")
            await until(lambda: world.folded(run_id), 20, "it waits for its retry", right=lambda run: run.due)
            (view,) = world.core.reader.folded_steps(world.core.runs.load(run_id))
        assert (view["status"], view["attempt"]) == ("pending", 1)
        assert view["dueAt"] is not None

    async def test_a_service_that_asks_for_a_longer_pause_gets_it(self, world: World, journal: Journal) -> None:
        await world.register(workflow("busy", step("a", retry=QUICK, fails="`1`", after="`400`")))
        async with open_worker(world.core, journal.registry()):
            await world.run("busy")
        first, second = journal.calls
        assert second.began - (first.ended or 0) >= 0.4

    async def test_a_run_waits_for_its_retry_without_turning_in_circles(self, world: World, journal: Journal) -> None:
        """The timer of `a` goes off while `b` takes the only place: nothing can begin, so nothing may spin."""
        retry = RetryPolicy(max_attempts=2, backoff_ms=20, jitter=0.0)
        steps = step("a", retry=retry, fails="`1`"), step("b", ms="`1500`")
        await world.register(workflow("narrow", *steps, max_parallel_steps=1))
        async with open_worker(world.core, journal.registry()):
            run_id = await world.trigger("narrow")
            await journal.begun(2)
            await asyncio.sleep(0.2)  # nothing tells when: the timer of `a` has gone off
            used = time.process_time()
            await asyncio.sleep(1.0)  # the time itself is the subject: what it does in a second of waiting
            used = time.process_time() - used
            run = await world.finished(run_id)
        assert run.status == "completed"
        assert [call.step for call in journal.calls] == ["a", "b", "a"]
        assert used < 0.5, f"{used:.2f} s of work in a second of waiting"


class TestGivingUp:
    async def test_the_run_fails_with_the_error_of_its_step(self, world: World, journal: Journal) -> None:
        await world.register(workflow("bad", step("a"), step("b", "a", retry=QUICK, fails="`9`"), step("c", "b")))
        async with open_worker(world.core, journal.registry()):
            run = await world.run("bad")
        assert statuses(run) == {"a": "completed", "b": "failed", "c": "pending"}
        assert (run.status, run.failed_step) == ("failed", "b")
        assert run.error is not None
        assert (run.error.code, run.error.message) == ("BROKEN", "b broke")
        assert [(call.step, call.attempt) for call in journal.calls] == [("a", 1), ("b", 1), ("b", 2), ("b", 3)]
        assert world.events(run.id)[-1] == "RunFailed"

    async def test_an_error_that_will_not_go_away_is_not_retried(self, world: World, journal: Journal) -> None:
        await world.register(workflow("bad", step("a", retry=QUICK, fails="`9`", hopeless="`true`")))
        async with open_worker(world.core, journal.registry()):
            assert (await world.run("bad")).status == "failed"
        assert len(journal.calls) == 1

    async def test_what_is_executing_finishes_and_is_kept_and_nothing_new_starts(
        self, world: World, journal: Journal
    ) -> None:
        """R19."""
        await world.register(
            workflow(
                "bad",
                step("quick", ms="`50`", fails="`1`"),
                step("slow", ms="`400`"),
                step("after", "slow"),
                step("later", "quick"),
            )
        )
        async with open_worker(world.core, journal.registry()):
            run = await world.run("bad")
        assert statuses(run) == {"quick": "failed", "slow": "completed", "after": "pending", "later": "pending"}
        assert run.failed_step == "quick"
        assert {call.step for call in journal.calls} == {"quick", "slow"}

    async def test_a_step_that_takes_too_long_fails(self, world: World, journal: Journal) -> None:
        await world.register(workflow("late", step("a", ms="`30000`", timeout_ms=100)))
        async with open_worker(world.core, journal.registry()):
            run = await world.run("late")
        assert run.error is not None
        assert run.error.code == "SKILL_TIMEOUT"
        assert journal.calls[0].cancelled

    async def test_an_input_that_cannot_be_made_fails_the_run_and_nothing_is_executed(
        self, world: World, journal: Journal
    ) -> None:
        """Also when other steps are ready at the same moment, before and after it."""
        await world.register(
            workflow(
                "bad", step("first"), step("second", total="sum(trigger.text)"), step("third"), step("last", "second")
            )
        )
        async with open_worker(world.core, journal.registry()):
            run = await world.run("bad", text="no list")
        assert (run.status, run.failed_step) == ("failed", "second")
        assert run.error is not None
        assert run.error.code == "SKILL_INPUT_INVALID"
        assert "input.total" in run.error.message
        assert run.step("second").attempt == 1
        assert "second" not in journal.steps(run.id)
        assert statuses(run)["last"] == "pending"


class TestUnknownSkills:
    async def test_a_run_whose_skill_nobody_knows_is_blocked_until_somebody_does(
        self, world: World, database_url: str, tmp_path: Path, journal: Journal
    ) -> None:
        await world.register(
            workflow(
                "rare", step("a"), step("b", "a", skill_id="test.rare"), step("c", "b"), step("d", "a", ms="`100`")
            )
        )
        async with open_worker(world.core, journal.registry()):
            run_id = await world.trigger("rare")
            run = await world.reached(run_id, "blocked")
            assert run.missing_skills == ("test.rare",)
            assert statuses(run) == {"a": "completed", "b": "pending", "c": "pending", "d": "completed"}
            assert world.queue() == {run_id: None}
            view = world.core.reader.folded_run(world.core.runs.load(run_id))
            assert (view["status"], view["missingSkills"]) == ("blocked", ["test.rare"])
            with open_world(database_url, tmp_path) as other:
                async with open_worker(other.core, journal.registry("test.work", "test.rare")) as second:
                    run = await world.finished(run_id)
        assert run.status == "completed"
        assert run.owner == second.identity.id
        assert run.missing_skills == ()
        assert sorted(journal.steps(run_id)) == ["a", "b", "c", "d"], "what was done before is not done again"

    async def test_a_worker_that_knows_only_part_of_what_lacks_leaves_it_alone(
        self, world: World, journal: Journal
    ) -> None:
        await world.register(workflow("rare", step("a", skill_id="x.one"), step("b", skill_id="x.two")))
        run_id = await world.trigger("rare")
        async with open_worker(world.core, journal.registry("test.work")):
            run = await world.reached(run_id, "blocked")
            assert run.missing_skills == ("x.one", "x.two")
        version = run.version
        async with open_worker(world.core, journal.registry("x.one")):
            await asyncio.sleep(0.3)  # the time itself is the subject: nothing is executed meanwhile
        assert (await world.folded(run_id)).version == version
        async with open_worker(world.core, journal.registry("x.one", "x.two")):
            assert (await world.finished(run_id)).status == "completed"

    async def test_a_run_that_failed_for_good_is_failed_not_blocked(self, world: World, journal: Journal) -> None:
        await world.register(workflow("both", step("a", fails="`1`", ms="`50`"), step("b", skill_id="test.rare")))
        async with open_worker(world.core, journal.registry()):
            run = await world.run("both")
        assert (run.status, run.failed_step) == ("failed", "a")
        assert statuses(run) == {"a": "failed", "b": "pending"}

    async def test_a_blocked_run_can_be_cancelled(self, world: World, journal: Journal) -> None:
        await world.register(workflow("rare", step("b", skill_id="test.rare")))
        async with open_worker(world.core, journal.registry()):
            run_id = await world.trigger("rare")
            await world.reached(run_id, "blocked")
            await world.core.commands.cancel(CALLER, run_id)
        assert (await world.folded(run_id)).status == "cancelled"
        assert world.queue() == {}
