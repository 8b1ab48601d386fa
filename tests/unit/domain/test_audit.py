"""An audit of a history says which event could not have happened, and why."""

from dataclasses import replace

import pytest

from orchestrator.domain.audit import Versioned, faults
from orchestrator.domain.commands import CompleteRun, TakeRun
from orchestrator.domain.decide import decide
from orchestrator.domain.events import (
    RunCompleted,
    RunEvent,
    RunStarted,
    RunTriggered,
    StepCompleted,
    StepRetried,
    StepStarted,
)
from orchestrator.domain.evolve import begin, evolve
from orchestrator.domain.workflow import RetryPolicy
from tests.unit.domain.scenario import AT, RUN, complete, fail, start, triggered, workflow

WORKFLOW = workflow({"a": (), "b": ("a",)}, RetryPolicy(3, 1000, jitter=0.1))


def history() -> list[Versioned]:
    """A run whose first step failed once."""
    first = replace(triggered(), workflow_digest=WORKFLOW.digest)
    run, events = begin(RUN, WORKFLOW, first), [first]
    for command in (
        TakeRun(AT, "w"),
        start("a"),
        fail("a"),
        replace(start("a", 2), at=AT + 5000),
        complete("a", 2),
        start("b"),
        complete("b"),
        CompleteRun(AT),
    ):
        for event in decide(command, run):
            evolve(run, event)
            events.append(event)
    return list(enumerate(events, 1))


def changed(kind: type[RunEvent], nth: int = 1, **fields: object) -> list[Versioned]:
    found = [place for place, (_, event) in enumerate(history()) if isinstance(event, kind)]
    events = history()
    version, event = events[found[nth - 1]]
    events[found[nth - 1]] = version, replace(event, **fields)
    return events


def without(version: int) -> list[RunEvent]:
    return [event for each, event in history() if each != version]


def test_what_happened_is_accepted() -> None:
    assert faults(RUN, WORKFLOW, history()) == []


@pytest.mark.parametrize(
    ("tampered", "told"),
    [
        (changed(RunTriggered, workflow_digest="other"), "has digest"),
        (changed(RunTriggered, forced=("z",)), "unknown step 'z'"),
        (changed(StepStarted, step="z"), "version 3, StepStarted of z: the workflow has no such step"),
        (changed(StepStarted, attempt=2), "version 3, StepStarted of a: attempt 2 follows attempt 0"),
        (changed(StepStarted, step="b"), "version 3, StepStarted of b: the step depends on a, not done yet"),
        (changed(StepRetried, due_at=AT), "the pause is 0 ms"),
        (changed(StepRetried, due_at=AT), "version 5, StepRetried of a: the decider expects due_at"),
        (changed(StepCompleted, attempt=1), "attempt 1 was not running"),
        (changed(RunCompleted, completed=1), "version 10, RunCompleted: the decider expects completed 2, not 1"),
        ([*history()[:-4], (7, history()[-1][1])], "version 7, RunCompleted: not done: a, b"),
        ([*history(), (11, history()[2][1])], "StepStarted of a: the run had already ended with RunCompleted"),
        ([*history()[:3], *history()[4:]], "event 4 of the stream has version 5"),
        (list(enumerate(without(5), 1)), "the decider expects StepRetried here"),
        (history()[:4], "after version 4 a StepRetried is missing"),
        (list(enumerate([history()[0][1], *(event for _, event in history())], 1)), "no command leads to this event"),
        ([(1, RunStarted(AT, "w"))], "begins with RunStarted"),
        ([], "has no events"),
    ],
)
def test_what_could_not_have_happened_is_named(tampered: list[Versioned], told: str) -> None:
    found = faults(RUN, WORKFLOW, tampered)
    assert any(told in fault for fault in found), found


def test_after_the_first_event_that_is_wrong_the_decider_is_silent() -> None:
    found = faults(RUN, WORKFLOW, changed(StepStarted, skill="other@1", input_hash="x", attempt=7))
    assert [fault for fault in found if "the decider expects" in fault or "next attempt" in fault] == [
        "version 3, StepStarted of a: the next attempt of step 'a' is 1, not 7"
    ]
