"""What each event changes."""

import dataclasses
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, get_args

import pytest

from orchestrator import domain
from orchestrator.domain.events import (
    Reuse,
    RunBlocked,
    RunCancelled,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunRecovered,
    RunStarted,
    RunTriggered,
    StepOmitted,
)
from orchestrator.domain.evolve import evolve, fold
from orchestrator.domain.run import Attempt, Run, StepState
from orchestrator.domain.workflow import Workflow
from tests.unit.domain.scenario import (
    AT,
    BASE,
    BROKEN,
    HOPELESS,
    MADE,
    RUN,
    TAKEN,
    WORKER,
    completed,
    done,
    failed,
    given,
    hit,
    retried,
    running,
    started,
    triggered,
    update,
    workflow,
)

TAKEN_OVER = RunRecovered(AT + 5, "worker-2", WORKER)


def statuses(run: Run) -> dict[str, str]:
    return {step: state.status for step, state in run.states()}


class TestTriggered:
    def test_a_run_is_queued_and_every_step_pending(self) -> None:
        run = given().run
        assert (run.status, run.version, run.owner, run.unfinished) == ("queued", 1, None, 4)
        assert statuses(run) == dict.fromkeys(("plan", "left", "right", "join"), "pending")
        assert run.summary() == {
            "total": 4,
            "pending": 4,
            "running": 0,
            "completed": 0,
            "skipped": 0,
            "omitted": 0,
            "failed": 0,
            "cancelled": 0,
        }

    def test_an_update_shows_what_it_does_not_touch_as_skipped_with_its_maker(self) -> None:
        run = given(update("left", "join")).run
        assert statuses(run) == {"plan": "skipped", "left": "pending", "right": "skipped", "join": "pending"}
        assert run.step("plan") == StepState("skipped", source_run=BASE)
        assert run.is_reused("plan")
        assert not run.is_reused("left")
        assert (run.maker("plan"), run.maker("left")) == (BASE, RUN)
        assert list(run.ready) == ["left"]

    def test_reuse_points_at_the_run_that_really_made_the_result(self) -> None:
        reused = (Reuse("maker-of-plan", ("plan",)), Reuse("maker-of-the-rest", None))
        run = given(triggered(trigger_type="update", impacted=("join",), reused=reused)).run
        assert [run.maker(step) for step in ("plan", "left", "join")] == ["maker-of-plan", "maker-of-the-rest", RUN]

    @pytest.mark.parametrize("history", [[], [TAKEN]])
    def test_a_history_without_its_trigger_is_refused(self, history: list[RunEvent]) -> None:
        with pytest.raises(ValueError, match="not with RunTriggered"):
            fold(RUN, workflow(), history)


class TestOwnership:
    def test_started(self) -> None:
        run = given(RunStarted(AT + 1, WORKER)).run
        assert (run.status, run.owner, run.started_at, run.version) == ("running", WORKER, AT + 1, 2)

    def test_recovered_makes_executing_steps_ready_again_with_the_next_attempt(self) -> None:
        run = running(*done("plan"), started("left"), started("right"), completed("right"), TAKEN_OVER).run
        assert (run.status, run.owner, run.started_at) == ("running", "worker-2", AT)
        assert list(run.ready) == ["left"]
        assert not run.executing
        left = run.step("left")
        assert (left.status, left.attempt, left.lost) == ("pending", 1, 1)
        assert left.past == (Attempt(1, WORKER, AT, AT + 5, None, None),)
        assert run.step("right").status == "completed"

    def test_the_next_attempt_belongs_to_the_new_worker(self) -> None:
        run = running(started("plan"), TAKEN_OVER, started("plan", 2)).run
        assert (run.step("plan").worker, run.step("plan").attempt, run.step("plan").lost) == ("worker-2", 2, 1)

    def test_recovered_keeps_retry_timers(self) -> None:
        run = running(started("plan"), failed("plan"), retried("plan", due_at=AT + 9), TAKEN_OVER).run
        assert run.due == {"plan": AT + 9}
        assert run.step("plan").lost == 0

    def test_blocked_names_the_skills_until_somebody_takes_over(self) -> None:
        blocked = running(RunBlocked(AT, ("x",)))
        assert (blocked.run.status, blocked.run.missing_skills) == ("blocked", ("x",))
        blocked.and_(TAKEN_OVER)
        assert (blocked.run.status, blocked.run.missing_skills) == ("running", ())


class TestSteps:
    def test_started(self) -> None:
        run = running(started("plan")).run
        assert run.step("plan") == StepState(
            "running",
            1,
            worker=WORKER,
            skill="test.skill@1",
            input_hash="hash of plan",
            cache_key="key of plan",
            started_at=AT,
        )
        assert run.executing == {"plan": 1}
        assert not run.ready

    def test_completed_keeps_what_was_made_and_releases_dependents(self) -> None:
        run = running(*done("plan")).run
        plan = run.step("plan")
        assert (plan.status, plan.output, plan.output_hash, plan.duration_ms) == (
            "completed",
            MADE,
            "hash of what was made",
            5.0,
        )
        assert (plan.skill, plan.input_hash, plan.worker) == ("test.skill@1", "hash of plan", WORKER)
        assert list(run.ready) == ["left", "right"]
        assert (run.unfinished, run.executing) == (3, {})

    def test_a_hit_skips_the_step_and_releases_dependents(self) -> None:
        run = running(hit("plan")).run
        plan = run.step("plan")
        assert (plan.status, plan.hit, plan.source_run, plan.output) == ("skipped", "cache", BASE, MADE)
        assert run.maker("plan") == BASE
        assert list(run.ready) == ["left", "right"]

    def test_failed_for_good_stops_the_run_and_leaves_dependents_pending(self) -> None:
        run = running(started("plan"), failed("plan", error=HOPELESS)).run
        assert run.failed_step == "plan"
        assert statuses(run) == {"plan": "failed", "left": "pending", "right": "pending", "join": "pending"}
        assert not run.ready
        assert not run.executing

    def test_retried_makes_it_pending_with_a_timer_and_remembers_the_attempt(self) -> None:
        run = running(started("plan"), failed("plan"), retried("plan", 2, AT + 9)).run
        plan = run.step("plan")
        assert (plan.status, plan.due_at, plan.attempt, plan.error) == ("pending", AT + 9, 1, BROKEN)
        assert plan.past == (Attempt(1, WORKER, AT, AT, 5.0, BROKEN),)
        assert run.failed_step is None
        assert run.due == {"plan": AT + 9}

    def test_a_retry_does_not_clear_the_final_failure_of_another_step(self) -> None:
        history = (*done("plan"), started("left"), started("right"), failed("left", error=HOPELESS))
        run = running(*history, failed("right"), retried("right")).run
        assert run.failed_step == "left"

    def test_the_first_final_failure_is_the_one_that_counts(self) -> None:
        history = (*done("plan"), started("left"), started("right"), failed("right"), failed("left"))
        assert running(*history).run.failed_step == "right"

    def test_success_after_a_failure_leaves_no_error_behind(self) -> None:
        run = running(started("plan"), failed("plan"), retried("plan"), started("plan", 2), completed("plan", 2)).run
        plan = run.step("plan")
        assert (plan.status, plan.error, plan.due_at, plan.attempt) == ("completed", None, None, 2)
        assert plan.past[0].error == BROKEN

    def test_an_attempt_that_failed_before_it_started_is_its_owners(self) -> None:
        run = running(started("plan"), TAKEN_OVER, failed("plan", 2), retried("plan", 3), started("plan", 3)).run
        assert [attempt.worker for attempt in run.step("plan").past] == [WORKER, "worker-2"]


class TestTheEnd:
    def test_completed(self) -> None:
        run = running(*done("plan", "left", "right", "join"), RunCompleted(AT + 9, 4, 0)).run
        assert (run.status, run.ended_at, run.is_finished, run.unfinished) == ("completed", AT + 9, True, 0)
        assert run.summary()["completed"] == 4

    def test_failed_keeps_the_error(self) -> None:
        history = (*done("plan"), started("left"), failed("left"), RunFailed(AT + 9, BROKEN, "left"))
        run = running(*history).run
        assert (run.status, run.error, run.failed_step, run.ended_at) == ("failed", BROKEN, "left", AT + 9)
        assert statuses(run) == {"plan": "completed", "left": "failed", "right": "pending", "join": "pending"}
        assert not run.ready, "nothing begins in a finished run"

    def test_cancelled_ends_what_was_open_and_keeps_what_was_done(self) -> None:
        history = (*done("plan"), started("left"), failed("left"), retried("left"), started("right"))
        run = running(*history, RunCancelled(AT + 9, "enough", "ann")).run
        assert statuses(run) == {
            "plan": "completed",
            "left": "cancelled",
            "right": "cancelled",
            "join": "cancelled",
        }
        assert run.step("right").ended_at == AT + 9
        assert (run.executing, run.due, run.ready) == ({}, {}, {})
        assert run.summary()["cancelled"] == 3

    def test_what_an_update_reuses_is_not_cancelled(self) -> None:
        run = given(update("join"), TAKEN, RunCancelled(AT, None, "ann")).run
        assert statuses(run) == {"plan": "skipped", "left": "skipped", "right": "skipped", "join": "cancelled"}


class Guarded(dict[str, Any]):
    """A dict that refuses to be walked or copied as a whole."""

    def _refuse(self, *_: object) -> Any:
        raise AssertionError("evolve walks or copies a collection that grows with the run")

    __iter__ = keys = values = items = copy = __or__ = __reversed__ = _refuse


def chain_of_diamonds(steps: int) -> Workflow:
    """Groups of five steps: one, three that depend on it, one that depends on those; each group after the last."""
    edges: dict[str, tuple[str, ...]] = {}
    last = ""
    for number in range(steps // 5):
        top, bottom = f"top{number}", f"bottom{number}"
        middle = tuple(f"middle{number}.{index}" for index in range(3))
        edges[top] = (last,) if last else ()
        edges |= dict.fromkeys(middle, (top,))
        edges[bottom] = middle
        last = bottom
    return workflow(dict(edges))


def life(of: Workflow) -> Iterator[RunEvent]:
    """A history with each kind of event in each diamond."""
    yield RunStarted(AT, WORKER)
    for step in of.graph.order:
        if step.startswith("top"):
            yield hit(step)
        elif step.startswith("bottom"):
            yield from (started(step), failed(step), retried(step), started(step, 2), completed(step, 2))
        else:
            yield from (started(step), TAKEN_OVER, started(step, 2), completed(step, 2))


def opcodes(call: Callable[[], object]) -> int:
    """Count the interpreter's steps in a call, those in the domain's own code."""
    count = 0
    ours = str(Path(domain.__file__).parent)

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        if event == "opcode" and frame.f_code.co_filename.startswith(ours):
            count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


def costs(steps: int, sample: int) -> list[int]:
    """The cost of each of the last `sample` events of a run of so many steps, with its collections guarded."""
    of = chain_of_diamonds(steps)
    history = list(life(of))
    run = fold(RUN, of, [triggered(), *history[:-sample]])
    run.steps, run.waiting = Guarded(run.steps), Guarded(run.waiting)
    return [opcodes(lambda event=event: evolve(run, event)) for event in history[-sample:]]  # type: ignore[misc]


@pytest.mark.slow
def test_an_event_costs_the_same_in_a_run_of_a_hundred_steps_and_in_one_of_ten_thousand() -> None:
    small, large = costs(100, sample=60), costs(10_000, sample=60)
    assert small == large
    assert max(large) < 1000


def test_a_second_trigger_changes_nothing() -> None:
    run = running(started("plan")).run
    before = dataclasses.replace(run)
    evolve(run, triggered())
    assert dataclasses.replace(run, version=before.version) == before


def test_every_event_of_a_run_can_be_folded() -> None:
    folded = {type(event) for event in life(chain_of_diamonds(5))}
    folded |= {RunTriggered, RunBlocked, StepOmitted, RunCompleted, RunFailed, RunCancelled}
    assert folded == set(get_args(RunEvent))
