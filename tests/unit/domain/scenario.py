"""Given what has happened, when something is asked, then this happens: the words that domain tests are written in."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import pytest

from orchestrator.domain.commands import Command, CompleteStep, FailStep, ReuseResult, StartStep
from orchestrator.domain.decide import decide
from orchestrator.domain.errors import DomainError
from orchestrator.domain.events import (
    Reuse,
    RunEvent,
    RunStarted,
    RunTriggered,
    StepCacheHit,
    StepCompleted,
    StepDispatched,
    StepFailed,
    StepLost,
    StepRetried,
    StepStarted,
)
from orchestrator.domain.evolve import evolve, fold
from orchestrator.domain.output import Output, StepError
from orchestrator.domain.run import Run
from orchestrator.domain.workflow import RetryPolicy, Step, Workflow

RUN = "018f0000-0000-7000-8000-000000000001"
BASE = "018f0000-0000-7000-8000-0000000000b5"
AT = 1_000_000
BROKEN = StepError("BROKEN", "it broke")
HOPELESS = StepError("HOPELESS", "it will never work", retryable=False)
MADE = Output({"made": True})

Edges = dict[str, Sequence[str]]
DIAMOND: Edges = {"plan": (), "left": ("plan",), "right": ("plan",), "join": ("left", "right")}


ONCE = RetryPolicy()


def workflow(edges: Edges | None = None, retry: RetryPolicy = ONCE, **options: Any) -> Workflow:
    """A workflow of these edges (a diamond unless told), every step with the same retry policy."""
    edges = DIAMOND if edges is None else edges
    steps = {step: Step(step, "test.skill", tuple(needed), retry=retry) for step, needed in edges.items()}
    return Workflow("test", "1", steps, **options)


def triggered(**fields: Any) -> RunTriggered:
    return RunTriggered(AT, "test", "1", "digest", fields.pop("trigger_type", "initial"), {}, **fields)


def update(*impacted: str) -> RunTriggered:
    """An update of BASE that sees to the impacted steps only."""
    reused = (Reuse(BASE, None),)
    return triggered(trigger_type="update", base_run_id=BASE, impacted=impacted, reused=reused)


def started(step: str, attempt: int = 1) -> StepStarted:
    return StepStarted(AT, step, attempt, "test.skill@1", f"hash of {step}", f"key of {step}")


def dispatched(step: str, attempt: int = 1) -> StepDispatched:
    return StepDispatched(AT, step, attempt, "far", f"name of {step} {attempt}", "hash of the fence")


def lost(step: str, attempt: int = 1) -> StepLost:
    return StepLost(AT, step, attempt, "no beat")


def completed(step: str, attempt: int = 1) -> StepCompleted:
    return StepCompleted(AT, step, attempt, MADE, "hash of what was made", 5.0)


def done(*steps: str) -> tuple[RunEvent, ...]:
    """Each step started and completed."""
    return tuple(event for step in steps for event in (started(step), completed(step)))


def failed(step: str, attempt: int = 1, error: StepError = BROKEN) -> StepFailed:
    return StepFailed(AT, step, attempt, error, 5.0)


def retried(step: str, next_attempt: int = 2, due_at: int = AT) -> StepRetried:
    return StepRetried(AT, step, next_attempt, due_at)


def hit(step: str) -> StepCacheHit:
    return StepCacheHit(AT, step, f"hash of {step}", f"key of {step}", MADE, BASE, "cache")


def start(step: str, attempt: int = 1) -> StartStep:
    return StartStep(AT, step, attempt, "test.skill@1", f"hash of {step}", f"key of {step}")


def complete(step: str, attempt: int = 1) -> CompleteStep:
    return CompleteStep(AT, step, attempt, MADE, "hash of what was made", 5.0)


def fail(step: str, attempt: int = 1, error: StepError = BROKEN, jitter: float = 0.0) -> FailStep:
    return FailStep(AT, step, attempt, error, 5.0, jitter)


def reuse(step: str) -> ReuseResult:
    return ReuseResult(AT, step, f"hash of {step}", f"key of {step}", MADE, BASE, "cache")


WORKER = "worker-1"
TAKEN = RunStarted(AT, WORKER)


@dataclass
class Given:
    """A run with a history."""

    run: Run

    def when(self, command: Command) -> "When":
        return When(self.run, command)

    def and_(self, *events: RunEvent) -> Self:
        """This happened too."""
        for event in events:
            evolve(self.run, event)
        return self


@dataclass
class When:
    """A command put to a run."""

    run: Run
    command: Command

    def then(self, *events: RunEvent) -> Given:
        """Exactly these events follow; they are folded, so that the story can go on."""
        assert decide(self.command, self.run) == events
        return Given(self.run).and_(*events)

    def then_refused(self, error: type[DomainError], words: str) -> None:
        """The command is refused for this reason, and nothing has changed."""
        before = repr(self.run)
        with pytest.raises(error, match=words) as caught:
            decide(self.command, self.run)
        assert type(caught.value) is error
        assert repr(self.run) == before


def given(*events: RunEvent, of: Workflow | None = None) -> Given:
    """A run that these events happened to; it was triggered (unless they say how) and is a diamond's (unless told)."""
    history: Iterable[RunEvent] = events
    if not events or not isinstance(events[0], RunTriggered):
        history = (triggered(), *events)
    return Given(fold(RUN, of or workflow(), history))


def running(*events: RunEvent, of: Workflow | None = None) -> Given:
    """A run that a worker has taken, and what happened to it since."""
    return given(TAKEN, *events, of=of)
