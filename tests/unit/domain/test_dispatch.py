"""Attempts that are executed by other machines: dispatch, recovery, loss."""

from orchestrator.domain.commands import CompleteStep, DispatchStep, FailStep, LoseStep
from orchestrator.domain.errors import CommandRefused, StaleAttempt
from orchestrator.domain.events import RunRecovered
from orchestrator.domain.next_steps import MAX_LOST_ATTEMPTS, next_steps
from orchestrator.domain.run import Attempt
from orchestrator.domain.workflow import RetryPolicy
from tests.unit.domain.scenario import (
    AT,
    BROKEN,
    MADE,
    WORKER,
    completed,
    dispatched,
    failed,
    lost,
    retried,
    running,
    started,
    workflow,
)

DISPATCH = DispatchStep(AT, "plan", 1, "far", "name of plan 1", "hash of the fence")
RECOVERED = RunRecovered(AT + 5, "worker-2", WORKER)


class TestDispatch:
    def test_the_attempt_that_just_started_is_dispatched(self) -> None:
        running(started("plan")).when(DISPATCH).then(dispatched("plan"))

    def test_a_step_that_is_not_executing_is_not(self) -> None:
        running().when(DISPATCH).then_refused(StaleAttempt, "is not running")

    def test_an_attempt_is_dispatched_once(self) -> None:
        running(started("plan"), dispatched("plan")).when(DISPATCH).then_refused(CommandRefused, "already dispatched")

    def test_it_ends_like_any_other(self) -> None:
        running(started("plan"), dispatched("plan")).when(
            CompleteStep(AT, "plan", 1, MADE, "hash of what was made", 5.0)
        ).then(completed("plan"))
        running(started("plan"), dispatched("plan")).when(FailStep(AT, "plan", 1, BROKEN, 5.0)).then(failed("plan"))

    def test_the_dispatch_ends_with_the_attempt(self) -> None:
        for end in ((completed("plan"),), (failed("plan"),), (lost("plan"),)):
            assert running(started("plan"), dispatched("plan"), *end).run.step("plan").dispatch is None


class TestRecovery:
    def test_a_dispatched_attempt_goes_on(self) -> None:
        run = running(started("plan"), dispatched("plan"), RECOVERED).run
        assert run.executing == {"plan": 1}
        assert not run.ready
        state = run.step("plan")
        assert (state.status, state.attempt, state.lost, state.dispatch) == ("running", 1, 0, dispatched("plan"))

    def test_the_other_attempts_are_lost(self) -> None:
        history = (started("plan"), completed("plan"), started("left"), started("right"), dispatched("right"))
        run = running(*history, RECOVERED).run
        assert run.executing == {"right": 1}
        assert list(run.ready) == ["left"]
        assert run.step("left").lost == 1

    def test_the_new_owner_records_the_result(self) -> None:
        recovered = running(started("plan"), dispatched("plan"), RECOVERED)
        recovered.when(CompleteStep(AT, "plan", 1, MADE, "hash of what was made", 5.0)).then(completed("plan"))


class TestLoss:
    def test_a_lost_attempt_starts_again_and_uses_nothing_up(self) -> None:
        running(started("plan"), dispatched("plan")).when(LoseStep(AT, "plan", 1, "no beat")).then(lost("plan"))
        run = running(started("plan"), dispatched("plan"), lost("plan")).run
        assert list(run.ready) == ["plan"]
        assert not run.executing
        state = run.step("plan")
        assert (state.status, state.lost, state.past) == ("pending", 1, (Attempt(1, WORKER, AT, AT, None, None),))

    def test_a_retry_policy_counts_only_failures(self) -> None:
        twice = RetryPolicy(max_attempts=2, backoff_ms=0, jitter=0)
        history = (started("plan"), dispatched("plan"), lost("plan"), started("plan", 2))
        running(*history, of=workflow(retry=twice)).when(FailStep(AT, "plan", 2, BROKEN, 5.0)).then(
            failed("plan", 2), retried("plan", 3)
        )

    def test_a_late_result_of_the_lost_attempt_is_refused(self) -> None:
        gone = running(started("plan"), dispatched("plan"), lost("plan"))
        late = CompleteStep(AT, "plan", 1, MADE, "hash of what was made", 5.0)
        gone.when(late).then_refused(StaleAttempt, "is not running")
        gone.when(LoseStep(AT, "plan", 1, "again")).then_refused(StaleAttempt, "is not running")

    def test_an_attempt_of_the_worker_itself_is_lost_only_with_it(self) -> None:
        lose = LoseStep(AT, "plan", 1, "no beat")
        running(started("plan")).when(lose).then_refused(CommandRefused, "was not dispatched")

    def test_a_step_that_loses_every_machine_fails(self) -> None:
        history = [
            event
            for attempt in range(1, MAX_LOST_ATTEMPTS + 1)
            for event in (started("plan", attempt), dispatched("plan", attempt), lost("plan", attempt))
        ]
        (step,) = next_steps(running(*history).run, AT, 10)
        assert isinstance(step, FailStep)
        assert (step.error.code, step.attempt) == ("WORKER_LOST", MAX_LOST_ATTEMPTS + 1)
