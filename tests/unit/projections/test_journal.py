"""The journal: one line an event, with what a person or a program looks for in it."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.domain.events import (
    EVENTS_OUTSIDE_RUNS,
    Event,
    RunBlocked,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunRecovered,
    RunStarted,
    RunTriggered,
    StepCacheHit,
    StepCacheInvalidated,
    StepCompleted,
    StepFailed,
    StepRetried,
    StepStarted,
    WorkflowRegistered,
    WorkflowRestored,
    WorkflowRetired,
)
from orchestrator.domain.evolve import begin, evolve
from orchestrator.domain.output import Output, StepError
from orchestrator.domain.run import Run
from orchestrator.domain.workflow import CachePolicy, Step, Workflow
from orchestrator.eventstore.codec import CODECS
from orchestrator.eventstore.recorded import Recorded
from orchestrator.projections.journal import tell

RUN = "0197a6c2-1b7e-7c42-9d5c-2f3e8a1b4c5d"
WORKFLOW = Workflow(
    "w.v1", "1", {"a": Step("a", "s"), "b": Step("b", "s", cache=CachePolicy(enabled=False)), "c": Step("c", "s")}
)
TRIGGERED = RunTriggered(0, "w.v1", "1", "digest", "initial", {}, forced=("c",))
ERROR = StepError("TOO_LOUD", "turn it down")


def started(step: str, attempt: int = 1) -> StepStarted:
    return StepStarted(10, step, attempt, "s@1", "hash", f"w.v1:{step}:hash")


def told(caplog: pytest.LogCaptureFixture, *events: Event) -> list[dict[str, Any]]:
    """Tell of events and return the lines: message, level and fields."""
    caplog.set_level(logging.INFO, "orchestrator.projections.journal")
    runs: dict[str, Run] = {}
    for event in events:
        if isinstance(event, RunTriggered):
            runs[RUN] = begin(RUN, WORKFLOW, event)
        elif not isinstance(event, EVENTS_OUTSIDE_RUNS):
            evolve(runs[RUN], event)
    tell([Recorded(RUN, n, n, "acme", "worker-1", event) for n, event in enumerate(events, 1)], runs or {})
    return [fields(record) for record in caplog.records]


def fields(record: logging.LogRecord) -> dict[str, Any]:
    plain = vars(logging.makeLogRecord({}))
    given = {name: value for name, value in vars(record).items() if name not in plain}
    return {"message": record.getMessage(), "level": record.levelname, **given}


def messages(lines: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(line["level"], line["message"]) for line in lines]


def test_the_life_of_a_run(caplog: pytest.LogCaptureFixture) -> None:
    lines = told(
        caplog,
        TRIGGERED,
        RunStarted(1000, "worker-1"),
        started("a"),
        StepFailed(20, "a", 1, ERROR, 3.25),
        StepRetried(20, "a", 2, 1500),
        started("a", 2),
        StepCompleted(30, "a", 2, Output(), "hash", 12.5),
        StepCacheHit(40, "b", "hash", "w.v1:b:hash", Output(), RUN, "cache"),
        RunCompleted(3000, 1, 1),
    )
    assert messages(lines) == [
        ("INFO", "run queued"),
        ("INFO", "run started"),
        ("INFO", "step started"),
        ("WARNING", "step failed"),
        ("INFO", "step retried"),
        ("INFO", "step started"),
        ("INFO", "step completed"),
        ("INFO", "cache hit"),
        ("INFO", "run completed"),
    ]
    assert all(line["run_id"] == RUN and line["workflow"] == "w.v1" and line["tenant"] == "acme" for line in lines)
    assert [line["status"] for line in lines] == [
        "queued",
        "running",
        "running",
        "failed",
        "pending",
        "running",
        "completed",
        "skipped",
        "completed",
    ]
    failed, completed, hit = lines[3], lines[6], lines[7]
    assert failed["error"] == {"code": "TOO_LOUD", "message": "turn it down"}
    assert (failed["step_id"], failed["attempt"], failed["duration_ms"], failed["worker"]) == ("a", 1, 3.25, "worker-1")
    assert (completed["cache_key"], completed["attempt"], completed["duration_ms"]) == ("w.v1:a:hash", 2, 12.5)
    assert (hit["reason"], hit["source_run"], hit["cache_key"]) == ("cache", RUN, "w.v1:b:hash")
    assert lines[4]["due_at"] == "1970-01-01T00:00:01.500Z"
    assert lines[-1]["duration_ms"] == 2000
    assert [line["position"] for line in lines] == list(range(1, 10))


def test_a_step_that_starts_says_whether_the_cache_was_asked(caplog: pytest.LogCaptureFixture) -> None:
    lines = told(caplog, TRIGGERED, RunStarted(1, "w"), started("a"), started("b"), started("c"))
    assert [line["cache"] for line in lines[2:]] == ["miss", "off", "off"]


def test_the_lines_of_a_run_that_belongs_to_a_trace_say_so(caplog: pytest.LogCaptureFixture) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    lines = told(caplog, replace(TRIGGERED, trace=trace), RunStarted(1, "w"), started("a"))
    assert [line["trace_id"] for line in lines] == ["0af7651916cd43dd8448eb211c80319c"] * 3
    caplog.clear()
    broken = told(caplog, replace(TRIGGERED, trace="what an older program let pass"), RunStarted(1, "w"))
    assert all("trace_id" not in line for line in broken)


def test_a_miss_says_why(caplog: pytest.LogCaptureFixture) -> None:
    event = StepStarted(10, "a", 1, "s@1", "hash", "w.v1:a:hash", "no result under this key")
    line = told(caplog, TRIGGERED, RunStarted(1, "w"), event)[-1]
    assert (line["cache"], line["reason"]) == ("miss", "no result under this key")


def test_the_other_ends_and_turns_of_a_run(caplog: pytest.LogCaptureFixture) -> None:
    recovered = told(caplog, TRIGGERED, RunStarted(1, "w"), RunRecovered(2, "v", "w"), RunBlocked(3, ("s",)))[2:]
    assert messages(recovered) == [("WARNING", "run recovered"), ("WARNING", "run blocked")]
    assert recovered[0]["lost_worker"] == "w"
    assert recovered[1]["missing_skills"] == ("s",)
    caplog.clear()
    failed = told(caplog, TRIGGERED, RunStarted(1, "w"), started("a"), StepFailed(2, "a", 1, ERROR, 1.0))
    assert messages(failed)[-1] == ("WARNING", "step failed")
    caplog.clear()
    failed = told(caplog, TRIGGERED, RunStarted(1, "w"), RunFailed(5, ERROR, "a"))
    assert messages(failed)[-1] == ("ERROR", "run failed")
    assert failed[-1]["step_id"] == "a"
    caplog.clear()
    cancelled = told(caplog, TRIGGERED, RunCancelled(5, "why", "me"))
    assert messages(cancelled)[-1] == ("INFO", "run cancelled")
    assert "duration_ms" not in cancelled[-1]


def test_events_of_no_run(caplog: pytest.LogCaptureFixture) -> None:
    lines = told(
        caplog, WorkflowRegistered(1, "w.v1", "1", "digest", {}), StepCacheInvalidated(2, "stale", workflow="w")
    )
    assert messages(lines) == [("INFO", "workflow registered"), ("INFO", "cache invalidated")]
    assert lines[1]["workflow"] == "w"


def test_retired_workflows_say_which_versions(caplog: pytest.LogCaptureFixture) -> None:
    lines = told(caplog, WorkflowRetired(1, "w.v1", ("1", "2"), "old"), WorkflowRestored(2, "w.v1", ("2",)))
    assert messages(lines) == [("INFO", "workflow retired"), ("INFO", "workflow restored")]
    assert (lines[0]["workflow_versions"], lines[0]["reason"]) == (("1", "2"), "old")


def test_nothing_is_made_up_for_a_level_nobody_asks_for(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "orchestrator.projections.journal")
    run = begin(RUN, WORKFLOW, TRIGGERED)
    tell([Recorded(RUN, 1, 1, "acme", "me", TRIGGERED)], {RUN: run})
    assert caplog.records == []


def test_every_event_there_is_has_a_line_of_its_own() -> None:
    assert set(CODECS) == {
        "RunTriggered",
        "RunStarted",
        "RunRecovered",
        "RunBlocked",
        "StepStarted",
        "StepCacheHit",
        "StepCompleted",
        "StepFailed",
        "StepRetried",
        "StepOmitted",
        "RunCompleted",
        "RunFailed",
        "RunCancelled",
        "WorkflowRegistered",
        "WorkflowRetired",
        "WorkflowRestored",
        "StepCacheInvalidated",
    }, "a new event: give it a line in the journal, a case above, and add it here"
