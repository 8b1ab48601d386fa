"""What happens next, from the state alone."""

from collections.abc import Collection

import pytest

from orchestrator.domain.commands import CompleteRun, FailRun, FailStep
from orchestrator.domain.events import (
    RunBlocked,
    RunCancelled,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunRecovered,
    StepFailed,
)
from orchestrator.domain.next_steps import MAX_LOST_ATTEMPTS, BeginStep, NextStep, next_due, next_steps
from tests.unit.domain.scenario import (
    AT,
    HOPELESS,
    TAKEN,
    WORKER,
    Given,
    done,
    failed,
    given,
    hit,
    retried,
    running,
    started,
    update,
    workflow,
)

ROOM = 100
WIDE = workflow({"a": (), "b": (), "c": (), "last": ("a", "b", "c")})
LOST = RunRecovered(AT, WORKER, WORKER)


def after(run: Given, *, room: int = ROOM, busy: Collection[str] = (), now: int = AT) -> list[NextStep]:
    return next_steps(run.run, now, room, busy)


class TestBeginning:
    def test_at_first_the_roots_begin(self) -> None:
        assert after(running()) == [BeginStep("plan", 1)]

    def test_independent_steps_begin_together(self) -> None:
        assert after(running(*done("plan"))) == [BeginStep("left", 1), BeginStep("right", 1)]

    def test_a_step_waits_for_the_last_of_its_dependencies(self) -> None:
        assert after(running(*done("plan", "left"), started("right"))) == []
        assert after(running(*done("plan", "left", "right"))) == [BeginStep("join", 1)]

    def test_skipped_steps_release_their_dependents_as_well(self) -> None:
        assert after(running(hit("plan"), hit("left"), hit("right"))) == [BeginStep("join", 1)]

    def test_an_update_begins_where_its_impact_begins(self) -> None:
        assert after(given(update("left", "join"), TAKEN)) == [BeginStep("left", 1)]

    def test_what_is_executing_does_not_begin_again(self) -> None:
        assert after(running(started("plan"))) == []

    def test_what_is_being_begun_does_not_begin_again(self) -> None:
        assert after(running(*done("plan")), busy={"left"}) == [BeginStep("right", 1)]

    def test_the_same_state_gives_the_same_answer(self) -> None:
        run = running(*done("plan"))
        assert after(run) == after(run)


class TestRoom:
    def test_no_more_begin_than_there_is_room_for(self) -> None:
        assert after(running(of=WIDE), room=2) == [BeginStep("a", 1), BeginStep("b", 1)]
        assert after(running(of=WIDE), room=0) == []

    def test_a_workflow_may_bound_how_many_run_at_once(self) -> None:
        narrow = workflow({"a": (), "b": (), "c": ()}, max_parallel_steps=2)
        assert after(running(of=narrow)) == [BeginStep("a", 1), BeginStep("b", 1)]
        assert after(running(started("a"), of=narrow)) == [BeginStep("b", 1)]
        assert after(running(started("a"), started("b"), of=narrow)) == []
        assert after(running(started("a"), of=narrow), busy={"b"}) == []

    def test_retries_need_room_too(self) -> None:
        narrow = workflow({"a": (), "b": ()}, max_parallel_steps=1)
        run = running(started("a"), failed("a"), retried("a", due_at=AT), of=narrow)
        assert after(run) == [BeginStep("b", 1)]
        assert after(run.and_(started("b"))) == []


class TestTimers:
    RETRIED = (started("plan"), failed("plan"), retried("plan", 2, AT + 500))

    def test_a_retry_begins_when_it_is_due_and_not_before(self) -> None:
        assert after(running(*self.RETRIED), now=AT + 499) == []
        assert after(running(*self.RETRIED), now=AT + 500) == [BeginStep("plan", 2)]

    def test_the_owner_is_told_when_to_look_again(self) -> None:
        assert next_due(running(*self.RETRIED).run, ROOM) == AT + 500

    def test_the_earliest_timer_counts_but_not_that_of_a_busy_step(self) -> None:
        run = running(
            *(event for step in "ab" for event in (started(step), failed(step))),
            retried("a", 2, AT + 200),
            retried("b", 2, AT + 100),
            of=WIDE,
        )
        assert next_due(run.run, ROOM) == AT + 100
        assert next_due(run.run, ROOM, busy={"b"}) == AT + 200
        assert next_due(run.run, ROOM, busy={"a", "b"}) is None

    def test_without_retries_there_is_no_timer(self) -> None:
        assert next_due(running().run, ROOM) is None

    def test_a_timer_that_could_begin_nothing_is_none(self) -> None:
        narrow = workflow({"a": (), "b": ()}, max_parallel_steps=1)
        run = running(started("a"), failed("a"), retried("a", due_at=AT), started("b"), of=narrow)
        assert next_due(run.run, ROOM) is None, "b takes the only place"
        assert next_due(running(*self.RETRIED).run, 0) is None, "the owner has no room"

    def test_after_a_final_failure_no_timer_matters(self) -> None:
        run = running(
            started("a"), failed("a"), retried("a"), started("b"), started("c"), failed("b", error=HOPELESS), of=WIDE
        )
        assert next_due(run.run, ROOM) is None

    def test_timers_survive_a_recovery(self) -> None:
        assert after(running(*self.RETRIED, LOST), now=AT + 499) == []
        assert after(running(*self.RETRIED, LOST), now=AT + 500) == [BeginStep("plan", 2)]


class TestFinalFailure:
    TWO = (*done("plan"), started("left"), started("right"), failed("left", error=HOPELESS))

    def test_what_is_executing_is_waited_for_and_nothing_new_begins(self) -> None:
        assert after(running(*self.TWO)) == []
        assert after(running(*done("a"), started("b"), failed("b", error=HOPELESS), of=WIDE)) == [FailRun(AT)]

    def test_then_the_run_fails(self) -> None:
        run = running(*self.TWO).and_(done("right")[1])
        assert after(run) == [FailRun(AT)]
        assert [run.run.step(step).status for step in ("left", "right", "join")] == ["failed", "completed", "pending"]

    def test_what_is_being_begun_is_waited_for(self) -> None:
        assert after(running(*self.TWO).and_(done("right")[1]), busy={"join"}) == []

    def test_a_pending_retry_does_not_hold_it_up(self) -> None:
        run = running(
            started("a"), failed("a"), retried("a", due_at=AT + 9), started("b"), failed("b", error=HOPELESS), of=WIDE
        )
        assert after(run, now=AT + 99) == [FailRun(AT + 99)]


class TestTheEnd:
    def test_a_run_whose_steps_are_all_done_completes(self) -> None:
        assert after(running(*done("plan", "left"), hit("right"), *done("join"))) == [CompleteRun(AT)]

    def test_an_update_that_touches_nothing_completes_at_once(self) -> None:
        assert after(given(update(), TAKEN)) == [CompleteRun(AT)]

    @pytest.mark.parametrize(
        "history",
        [
            (),
            (TAKEN, RunBlocked(AT, ("x",))),
            (TAKEN, RunCancelled(AT, None, "ann")),
            (TAKEN, started("plan"), failed("plan", error=HOPELESS), RunFailed(AT, HOPELESS, "plan")),
            (TAKEN, *done("plan", "left", "right", "join"), RunCompleted(AT, 4, 0)),
        ],
        ids=["queued", "blocked", "cancelled", "failed", "completed"],
    )
    def test_a_run_that_is_not_running_has_nothing_to_do(self, history: tuple[RunEvent, ...]) -> None:
        assert after(given(*history)) == []
        assert next_due(given(*history).run, ROOM) is None


class TestLostWorkers:
    def lost(self, times: int) -> Given:
        run = running()
        for attempt in range(1, times + 1):
            run.and_(started("plan", attempt), LOST)
        return run

    def test_a_lost_attempt_begins_again_at_once(self) -> None:
        assert after(self.lost(1)) == [BeginStep("plan", 2)]
        assert after(self.lost(MAX_LOST_ATTEMPTS - 1)) == [BeginStep("plan", MAX_LOST_ATTEMPTS)]

    def test_a_step_that_takes_every_worker_down_fails_instead(self) -> None:
        run = self.lost(MAX_LOST_ATTEMPTS)
        (step,) = after(run)
        assert isinstance(step, FailStep)
        assert (step.step, step.attempt) == ("plan", MAX_LOST_ATTEMPTS + 1)
        assert (step.error.code, step.error.retryable) == ("WORKER_LOST", False)
        run.when(step).then(StepFailed(AT, "plan", MAX_LOST_ATTEMPTS + 1, step.error, 0.0))
        assert after(run) == [FailRun(AT)]
