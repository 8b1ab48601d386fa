"""Random walks through the life of a run, with crashes at any moment: what must hold of every one of them."""

from contextlib import suppress
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from orchestrator.domain.commands import BlockRun, CancelRun, Command, CompleteStep, FailStep, StartStep, TakeRun
from orchestrator.domain.decide import decide, next_attempt
from orchestrator.domain.errors import CommandRefused, DomainError, UnknownStep
from orchestrator.domain.events import (
    TERMINAL_EVENTS,
    RunEvent,
    StepCacheHit,
    StepCompleted,
    StepStarted,
)
from orchestrator.domain.evolve import begin, evolve, fold
from orchestrator.domain.next_steps import BeginStep, next_due, next_steps
from orchestrator.domain.output import Output, StepError
from orchestrator.domain.run import Run
from orchestrator.domain.workflow import RetryPolicy, Step, Workflow
from tests.unit.domain.scenario import RUN, complete, fail, reuse, start, triggered, update

NAMES = [f"s{number}" for number in range(8)]


@st.composite
def workflows(draw: st.DrawFn) -> Workflow:
    steps: dict[str, Step] = {}
    for name in NAMES[: draw(st.integers(1, len(NAMES)))]:
        needed = tuple(draw(st.lists(st.sampled_from(list(steps)), unique=True, max_size=3))) if steps else ()
        retry = RetryPolicy(draw(st.integers(1, 3)), draw(st.sampled_from([0, 1000])), jitter=0.1)
        steps[name] = Step(name, "test.skill", needed, retry=retry)
    return Workflow("test", "1", steps, max_parallel_steps=draw(st.sampled_from([None, 1, 2])))


class RunWalk(RuleBasedStateMachine):
    """A worker that does what `next_steps` says, in any order, with any outcome, and can be gone at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000_000
        self.workers = 0

    @initialize(workflow=workflows(), data=st.data())
    def trigger(self, workflow: Workflow, data: st.DataObject) -> None:
        self.workflow = workflow
        first = triggered()
        if data.draw(st.booleans(), label="update"):
            seeds = data.draw(st.lists(st.sampled_from(list(workflow.steps)), unique=True))
            impacted = workflow.graph.downstream(seeds)
            first = update(*(step for step in workflow.graph.order if step in impacted))
        self.events: list[RunEvent] = [first]
        self.live: Run = begin(RUN, workflow, first)

    def apply(self, command: Command) -> None:
        for event in decide(command, self.live):
            evolve(self.live, event)
            self.events.append(event)

    @precondition(lambda self: not self.live.is_finished)
    @rule(replay=st.booleans())
    def take_over(self, replay: bool) -> None:
        """A worker takes the run: the first one, the next one after a crash, or one that the run was given to."""
        if replay:
            self.live = fold(RUN, self.workflow, self.events)
        self.workers += 1
        self.apply(TakeRun(self.now, f"worker-{self.workers}"))

    def due_now(self) -> list[Any]:
        return next_steps(self.live, self.now, 3)

    @precondition(lambda self: any(isinstance(step, BeginStep) for step in self.due_now()))
    @rule(data=st.data())
    def begin_step(self, data: st.DataObject) -> None:
        ready = [step for step in self.due_now() if isinstance(step, BeginStep)]
        step = data.draw(st.sampled_from(ready))
        answer = data.draw(st.sampled_from(["run", "run", "run", "hit", "no input"]))
        if answer == "run":
            self.apply(start(step.step, step.attempt))
        elif answer == "hit":
            self.apply(reuse(step.step))
        else:
            error = StepError("SKILL_INPUT_INVALID", "no input", retryable=False)
            self.apply(fail(step.step, step.attempt, error))

    @precondition(lambda self: any(not isinstance(step, BeginStep) for step in self.due_now()))
    @rule()
    def do_what_is_decided(self) -> None:
        for step in self.due_now():
            if not isinstance(step, BeginStep) and not self.live.is_finished:
                self.apply(step)

    @precondition(lambda self: self.live.executing)
    @rule(data=st.data())
    def outcome(self, data: st.DataObject) -> None:
        step, attempt = data.draw(st.sampled_from(sorted(self.live.executing.items())))
        made = data.draw(st.sampled_from(["done", "done", "broken", "hopeless"]))
        if made == "done":
            self.apply(complete(step, attempt))
        else:
            error = StepError("BROKEN", "it broke", retryable=made == "broken")
            self.apply(fail(step, attempt, error, data.draw(st.floats(-1, 1))))

    @rule(pause=st.sampled_from([1, 900, 60_000]))
    def time_passes(self, pause: int) -> None:
        self.now += pause

    @precondition(lambda self: self.live.status == "running" and not self.live.executing)
    @rule()
    def block(self) -> None:
        self.apply(BlockRun(self.now, ("test.skill",)))

    @precondition(lambda self: not self.live.is_finished and len(self.events) > 6)
    @rule(sure=st.integers(0, 9))
    def cancel(self, sure: int) -> None:
        if sure == 0:
            self.apply(CancelRun(self.now, None, "ann"))

    @rule(step=st.sampled_from(NAMES), attempt=st.integers(0, 4), kind=st.sampled_from(["start", "done", "fail"]))
    def a_stale_command_is_refused_or_sound(self, step: str, attempt: int, kind: str) -> None:
        """Whatever a confused worker asks: refused, or allowed by the very rules the invariants check."""
        commands: dict[str, Command] = {
            "start": start(step, attempt),
            "done": complete(step, attempt),
            "fail": fail(step, attempt),
        }
        command = commands[kind]
        before = repr(self.live)
        refusals: list[type[DomainError]] = (
            [CommandRefused] if step in self.live.waiting else [CommandRefused, UnknownStep]
        )
        events: tuple[RunEvent, ...] = ()
        with suppress(*refusals):
            events = decide(command, self.live)
        assert repr(self.live) == before
        if not events:
            return
        if isinstance(command, StartStep):
            assert attempt == next_attempt(step, self.live)
            assert self.live.waiting[step] == 0
        elif isinstance(command, CompleteStep):
            assert self.live.executing[step] == attempt
        elif isinstance(command, FailStep):
            assert self.live.executing.get(step, next_attempt(step, self.live)) == attempt

    @invariant()
    def folding_the_events_gives_the_state_that_was_lived(self) -> None:
        assert fold(RUN, self.workflow, self.events) == self.live

    @invariant()
    def versions_count_up(self) -> None:
        assert self.live.version == len(self.events)

    @invariant()
    def the_summary_adds_up(self) -> None:
        summary = self.live.summary()
        assert summary.pop("total") == len(self.workflow.steps) == sum(summary.values())
        for status, count in summary.items():
            assert sum(state.status == status for _, state in self.live.states()) == count

    @invariant()
    def counts_kept_on_the_way_are_those_of_the_steps(self) -> None:
        run = self.live
        done = {step for step, state in run.states() if state.status in ("completed", "skipped")}
        assert run.unfinished == len(self.workflow.steps) - len(done)
        for step, lacking in run.waiting.items():
            needed = self.workflow.steps[step].depends_on
            assert lacking == sum(1 for dependency in needed if dependency not in done)
        if not run.is_finished:
            assert run.executing.keys() == {step for step, state in run.steps.items() if state.status == "running"}
            failed = {step for step, state in run.steps.items() if state.status == "failed"}
            open_steps = {step for step, lacking in run.waiting.items() if lacking == 0} - done - failed
            assert run.ready.keys() | run.executing.keys() | run.due.keys() == open_steps

    @invariant()
    def nothing_starts_early_twice_or_again(self) -> None:
        """R4: not before its dependencies are done. R7: not once it has completed. Attempts count up."""
        done = {step for step in self.workflow.steps if step not in self.live.waiting}
        attempts: dict[str, int] = {}
        for event in self.events:
            if isinstance(event, StepStarted | StepCacheHit):
                assert event.step not in done
                assert done.issuperset(self.workflow.steps[event.step].depends_on)
            if isinstance(event, StepStarted):
                assert event.attempt == attempts.get(event.step, 0) + 1
                attempts[event.step] = event.attempt
            if isinstance(event, StepCompleted):
                assert event.attempt == attempts[event.step]
            if isinstance(event, StepCompleted | StepCacheHit):
                done.add(event.step)

    @invariant()
    def terminal_states_are_final(self) -> None:
        for event in self.events[:-1]:
            assert not isinstance(event, TERMINAL_EVENTS)

    @invariant()
    def a_run_that_goes_on_has_something_to_wait_for(self) -> None:
        if self.live.status == "running":
            assert self.due_now() or self.live.executing or next_due(self.live, 3) is not None

    def teardown(self) -> None:
        """Whatever happened, a worker without bad luck brings the run to its end."""
        if not hasattr(self, "live"):
            return
        if not self.live.is_finished:
            self.take_over(replay=True)
        for _ in range(20 * len(NAMES)):
            if self.live.is_finished:
                break
            for step in self.due_now():
                self.apply(start(step.step, step.attempt) if isinstance(step, BeginStep) else step)
            for step_id, attempt in list(self.live.executing.items()):
                self.apply(complete(step_id, attempt))
            self.now = max(self.now, next_due(self.live, 3) or 0)
        assert self.live.is_finished
        self.folding_the_events_gives_the_state_that_was_lived()
        self.nothing_starts_early_twice_or_again()


TestRunWalk = RunWalk.TestCase
TestRunWalk.settings = settings(
    max_examples=int(1.5 * settings().max_examples),
    stateful_step_count=40,
    suppress_health_check=[HealthCheck.too_slow],
)


def test_a_result_once_made_is_kept_whatever_comes_later() -> None:
    """The outputs a fold shows are those the events carried."""
    workflow = Workflow("test", "1", {"a": Step("a", "test.skill")})
    history: list[RunEvent] = [triggered()]
    run = begin(RUN, workflow, triggered())
    for command in (TakeRun(1, "w"), start("a"), CompleteStep(2, "a", 1, Output({"x": 1}), "h", 1.0)):
        for event in decide(command, run):
            history.append(event)
            evolve(run, event)
    assert fold(RUN, workflow, history).step("a").output == Output({"x": 1})
