"""Every rule that can refuse, both ways."""

import pytest

from orchestrator.domain.commands import (
    BlockRun,
    CancelRun,
    Command,
    CompleteRun,
    FailRun,
    TakeRun,
    TriggerRun,
)
from orchestrator.domain.decide import decide, decide_trigger, next_attempt
from orchestrator.domain.errors import CommandRefused, RunFinished, RunNotCancellable, StaleAttempt, UnknownStep
from orchestrator.domain.events import (
    Reuse,
    RunBlocked,
    RunCancelled,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunRecovered,
    RunStarted,
    StepStarted,
)
from tests.unit.domain.scenario import (
    AT,
    BASE,
    BROKEN,
    HOPELESS,
    RUN,
    TAKEN,
    WORKER,
    complete,
    completed,
    done,
    fail,
    failed,
    given,
    hit,
    retried,
    reuse,
    running,
    start,
    started,
    triggered,
    update,
    workflow,
)

ALL = ("plan", "left", "right", "join")


class TestTrigger:
    def test_the_event_repeats_the_command_and_pins_the_definition(self) -> None:
        command = TriggerRun(
            AT,
            "update",
            {"n": 1},
            base_run_id=BASE,
            change={"type": "t"},
            impacted=("left", "join"),
            reused=(Reuse(BASE, None),),
            forced=("left",),
            priority=7,
            labels={"team": "red"},
            request="r",
            trace="t",
        )
        event = decide_trigger(command, workflow())
        for name in ("at", "trigger_type", "payload", "base_run_id", "change", "impacted", "reused", "forced"):
            assert getattr(event, name) == getattr(command, name)
        for name in ("priority", "labels", "request", "trace"):
            assert getattr(event, name) == getattr(command, name)
        assert (event.workflow_name, event.workflow_version) == ("test", "1")
        assert event.workflow_digest == workflow().digest

    @pytest.mark.parametrize("field", ["forced", "impacted"])
    def test_a_step_the_workflow_does_not_have_is_refused_by_name(self, field: str) -> None:
        command = TriggerRun(AT, "update", {}, **{field: ("left", "nowhere")})  # type: ignore[arg-type]
        with pytest.raises(UnknownStep, match="nowhere") as caught:
            decide_trigger(command, workflow())
        assert caught.value.details == {"step": "nowhere"}


class TestTakeRun:
    def test_a_queued_run_is_started(self) -> None:
        given().when(TakeRun(AT, WORKER)).then(RunStarted(AT, WORKER))

    def test_a_run_with_an_owner_is_recovered_from_it(self) -> None:
        running(started("plan")).when(TakeRun(AT, "worker-2")).then(RunRecovered(AT, "worker-2", WORKER))

    def test_a_run_given_back_is_recovered_from_its_last_owner_even_by_itself(self) -> None:
        running().when(TakeRun(AT, WORKER)).then(RunRecovered(AT, WORKER, WORKER))

    def test_a_blocked_run_is_recovered(self) -> None:
        running(RunBlocked(AT, ("x",))).when(TakeRun(AT, "worker-2")).then(RunRecovered(AT, "worker-2", WORKER))


class TestBlockRun:
    def test_the_skills_that_lack_are_named(self) -> None:
        running().when(BlockRun(AT, ("a.skill", "b.skill"))).then(RunBlocked(AT, ("a.skill", "b.skill")))


class TestStartStep:
    def test_a_ready_step_starts_with_what_the_command_says(self) -> None:
        running().when(start("plan")).then(StepStarted(AT, "plan", 1, "test.skill@1", "hash of plan", "key of plan"))

    def test_a_step_starts_once_all_its_dependencies_are_done(self) -> None:
        running(*done("plan", "left"), hit("right")).when(start("join")).then(started("join"))

    @pytest.mark.parametrize("history", [(), done("plan"), done("plan", "left"), (*done("plan"), hit("right"))])
    def test_no_step_starts_before_all_its_dependencies_are_done(self, history: tuple[RunEvent, ...]) -> None:
        running(*history).when(start("join")).then_refused(StaleAttempt, "'join' of run .* is pending, not ready")

    def test_a_step_that_is_executing_does_not_start_again(self) -> None:
        running(started("plan")).when(start("plan", 2)).then_refused(StaleAttempt, "is running, not ready")

    @pytest.mark.parametrize("end", [done("plan"), (hit("plan"),)])
    def test_a_step_that_is_done_never_starts_again(self, end: tuple[RunEvent, ...]) -> None:
        running(*end).when(start("plan", 2)).then_refused(StaleAttempt, "is (completed|skipped), not ready")

    @pytest.mark.parametrize("attempt", [0, 2])
    def test_the_attempt_must_be_the_one_that_is_due(self, attempt: int) -> None:
        running().when(start("plan", attempt)).then_refused(StaleAttempt, f"attempt of step .plan. is 1, not {attempt}")

    def test_a_retried_step_starts_with_the_next_number(self) -> None:
        history = (started("plan"), failed("plan"), retried("plan"))
        running(*history).when(start("plan", 2)).then(started("plan", 2))
        running(*history).when(start("plan", 1)).then_refused(StaleAttempt, "attempt of step .plan. is 2, not 1")

    def test_a_step_lost_with_its_worker_starts_with_the_next_number(self) -> None:
        lost = running(started("plan"), RunRecovered(AT, "worker-2", WORKER))
        assert next_attempt("plan", lost.run) == 2
        lost.when(start("plan", 2)).then(started("plan", 2))

    def test_nothing_starts_after_a_final_failure(self) -> None:
        history = (*done("plan"), started("left"), failed("left", error=HOPELESS))
        running(*history).when(start("right")).then_refused(CommandRefused, "'left' failed for good: no new")

    def test_a_step_of_another_workflow_is_unknown(self) -> None:
        running().when(start("nowhere")).then_refused(UnknownStep, "step 'nowhere' is not part of run")

    def test_a_reused_step_is_none_of_the_runs_business(self) -> None:
        given(update("left", "join"), TAKEN).when(start("plan")).then_refused(
            UnknownStep, "step 'plan' is not part of run"
        )

    def test_an_impacted_step_does_not_wait_for_reused_ones(self) -> None:
        given(update("left", "join"), TAKEN).when(start("left")).then(started("left"))
        given(update("left", "join"), TAKEN).when(start("join")).then_refused(StaleAttempt, "not ready")


class TestReuseResult:
    def test_a_ready_step_is_skipped(self) -> None:
        running().when(reuse("plan")).then(hit("plan"))

    def test_a_step_that_waits_for_its_retry_is_skipped_too(self) -> None:
        running(started("plan"), failed("plan"), retried("plan")).when(reuse("plan")).then(hit("plan"))

    def test_not_before_its_dependencies_are_done(self) -> None:
        running().when(reuse("left")).then_refused(StaleAttempt, "not ready")

    @pytest.mark.parametrize("history", [(started("plan"),), done("plan"), (hit("plan"),)])
    def test_not_once_it_is_executing_or_done(self, history: tuple[RunEvent, ...]) -> None:
        running(*history).when(reuse("plan")).then_refused(StaleAttempt, "not ready")


class TestCompleteStep:
    def test_the_attempt_under_way_completes(self) -> None:
        running(started("plan")).when(complete("plan")).then(completed("plan"))

    def test_what_is_executing_when_another_step_fails_for_good_is_kept(self) -> None:
        history = (*done("plan"), started("left"), started("right"), failed("left", error=HOPELESS))
        running(*history).when(complete("right")).then(completed("right"))

    @pytest.mark.parametrize("attempt", [0, 2])
    def test_another_attempt_is_refused(self, attempt: int) -> None:
        running(started("plan")).when(complete("plan", attempt)).then_refused(StaleAttempt, f"attempt {attempt} of")

    def test_an_attempt_that_was_lost_cannot_complete(self) -> None:
        lost = running(started("plan"), RunRecovered(AT, "worker-2", WORKER))
        lost.when(complete("plan", 1)).then_refused(StaleAttempt, "not running")
        lost.and_(started("plan", 2)).when(complete("plan", 1)).then_refused(StaleAttempt, "not running")

    @pytest.mark.parametrize("history", [(), done("plan"), (hit("plan"),)])
    def test_a_step_that_is_not_executing_cannot_complete(self, history: tuple[RunEvent, ...]) -> None:
        running(*history).when(complete("plan")).then_refused(StaleAttempt, "not running")

    def test_nor_can_an_unknown_one(self) -> None:
        running().when(complete("nowhere")).then_refused(StaleAttempt, "not running")


class TestFailStep:
    def test_the_last_attempt_fails_for_good(self) -> None:
        running(started("plan")).when(fail("plan")).then(failed("plan"))

    def test_a_step_whose_input_cannot_be_resolved_fails_without_having_started(self) -> None:
        running().when(fail("plan", error=HOPELESS)).then(failed("plan", error=HOPELESS))

    @pytest.mark.parametrize("attempt", [0, 2])
    def test_another_attempt_than_the_one_under_way_is_refused(self, attempt: int) -> None:
        running(started("plan")).when(fail("plan", attempt)).then_refused(StaleAttempt, "not running")

    def test_an_attempt_that_was_lost_cannot_fail(self) -> None:
        lost = running(started("plan"), RunRecovered(AT, "worker-2", WORKER))
        lost.when(fail("plan", 1)).then_refused(StaleAttempt, "attempt of step .plan. is 2, not 1")

    def test_an_attempt_cannot_fail_twice(self) -> None:
        history = (started("plan"), failed("plan"), retried("plan"))
        running(*history).when(fail("plan", 1)).then_refused(StaleAttempt, "attempt of step .plan. is 2, not 1")

    @pytest.mark.parametrize("history", [done("plan"), (hit("plan"),), (started("plan"), failed("plan"))])
    def test_a_step_that_is_over_cannot_fail(self, history: tuple[RunEvent, ...]) -> None:
        running(*history).when(fail("plan", 2)).then_refused(StaleAttempt, "not ready")

    def test_nor_can_one_that_still_waits_or_is_unknown(self) -> None:
        running().when(fail("join")).then_refused(StaleAttempt, "not ready")
        running().when(fail("nowhere")).then_refused(UnknownStep, "nowhere")


class TestCompleteRun:
    def test_with_all_steps_done_it_counts_them(self) -> None:
        running(*done("plan", "left"), hit("right"), *done("join")).when(CompleteRun(AT)).then(RunCompleted(AT, 3, 1))

    def test_reused_steps_count_as_skipped(self) -> None:
        given(update("join"), TAKEN, *done("join")).when(CompleteRun(AT)).then(RunCompleted(AT, 1, 3))

    def test_an_update_that_touches_nothing_completes_at_once(self) -> None:
        given(update(), TAKEN).when(CompleteRun(AT)).then(RunCompleted(AT, 0, 4))

    def test_not_while_a_step_is_unfinished(self) -> None:
        running(*done("plan", "left", "right")).when(CompleteRun(AT)).then_refused(
            CommandRefused, "still has 1 unfinished"
        )


class TestFailRun:
    def test_it_repeats_the_error_of_the_step_that_failed_first(self) -> None:
        history = (
            *done("plan"),
            started("left"),
            started("right"),
            failed("right", error=HOPELESS),
            failed("left", error=BROKEN),
        )
        running(*history).when(FailRun(AT)).then(RunFailed(AT, HOPELESS, "right"))

    def test_not_while_something_is_executing(self) -> None:
        history = (*done("plan"), started("left"), started("right"), failed("left", error=HOPELESS))
        running(*history).when(FailRun(AT)).then_refused(CommandRefused, "still executing right")

    @pytest.mark.parametrize("history", [(), (started("plan"), failed("plan"), retried("plan"))])
    def test_not_while_no_step_failed_for_good(self, history: tuple[RunEvent, ...]) -> None:
        running(*history).when(FailRun(AT)).then_refused(CommandRefused, "no step of run .* failed for good")


class TestCancelRun:
    @pytest.mark.parametrize(
        "history",
        [
            (),
            (TAKEN,),
            (TAKEN, started("plan")),
            (TAKEN, RunBlocked(AT, ("x",))),
            (TAKEN, started("plan"), failed("plan")),
        ],
    )
    def test_whatever_it_is_doing_it_ends(self, history: tuple[RunEvent, ...]) -> None:
        given(*history).when(CancelRun(AT, "enough", "ann")).then(RunCancelled(AT, "enough", "ann"))


FINISHED = [
    (TAKEN, *done(*ALL), RunCompleted(AT, 4, 0)),
    (TAKEN, started("plan"), failed("plan", error=HOPELESS), RunFailed(AT, HOPELESS, "plan")),
    (TAKEN, started("plan"), RunCancelled(AT, None, "ann")),
    (RunCancelled(AT, None, "ann"),),
]


class TestTerminalStatesAreFinal:
    @pytest.mark.parametrize("history", FINISHED, ids=["completed", "failed", "cancelled", "cancelled in the queue"])
    @pytest.mark.parametrize(
        "command",
        [
            TakeRun(AT, "worker-2"),
            BlockRun(AT, ("x",)),
            start("plan", 2),
            reuse("plan"),
            complete("plan"),
            fail("plan"),
            CompleteRun(AT),
            FailRun(AT),
        ],
        ids=lambda command: type(command).__name__,
    )
    def test_nothing_is_added_to_a_finished_run(self, history: tuple[RunEvent, ...], command: Command) -> None:
        given(*history).when(command).then_refused(RunFinished, "is already")

    @pytest.mark.parametrize("history", FINISHED)
    def test_a_finished_run_cannot_be_cancelled(self, history: tuple[RunEvent, ...]) -> None:
        given(*history).when(CancelRun(AT, None, "ann")).then_refused(RunNotCancellable, "can no longer be cancelled")


def test_deciding_changes_nothing() -> None:
    run = running(started("plan")).run
    before = repr(run)
    assert decide(complete("plan"), run) == decide(complete("plan"), run)
    assert repr(run) == before
    assert run.id == RUN
    assert triggered().at == AT
