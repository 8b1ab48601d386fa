"""A run as it goes on, told by the events of a real fold."""

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from rich.console import Console

from orchestrator.application.calls import Calls
from orchestrator.cli.output.progress import RunProgress, begin_progress, count
from orchestrator.cli.output.watch import _Picture, event_line, outcome, watch
from orchestrator.domain.events import (
    RunBlocked,
    RunCancelled,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunRecovered,
    RunStarted,
    RunTriggered,
    StepCacheHit,
    StepCompleted,
    StepFailed,
    StepRetried,
    StepStarted,
)
from orchestrator.domain.output import Output, StepError
from orchestrator.eventstore.recorded import Recorded
from orchestrator.projections.views.event_views import event_view

RUN = "0197a6c2-1b7e-7c42-9d5c-2f3e8a1b4c5d"
WORKFLOW: dict[str, Any] = {
    "steps": [
        {"stepId": "plan"},
        {"stepId": "draw", "dependsOn": ["plan"]},
        {"stepId": "sing", "dependsOn": ["plan"]},
        {"stepId": "pack", "dependsOn": ["draw", "sing"]},
    ]
}
ERROR = StepError("TOO_LOUD", "turn it down\nplease")
TRIGGERED = RunTriggered(0, "w.v1", "1", "digest", "initial", {})


def begin() -> RunProgress:
    return begin_progress({"id": RUN, "workflowName": "w.v1", "workflowVersion": "1"}, WORKFLOW)


def views(*events: RunEvent) -> list[dict[str, Any]]:
    return [event_view(Recorded(RUN, number, number, "default", "me", event)) for number, event in enumerate(events, 1)]


def after(*events: RunEvent) -> RunProgress:
    progress = begin()
    for view in views(*events):
        progress.apply(view)
    return progress


def started(step: str, at: int = 10, attempt: int = 1) -> StepStarted:
    return StepStarted(at, step, attempt, "s@1", "hash", "key")


def statuses(progress: RunProgress) -> list[str]:
    return [step.status for step in progress.steps.values()]


def test_from_queued_to_completed() -> None:
    progress = after(
        TRIGGERED,
        RunStarted(1000, "w"),
        started("plan"),
        StepCompleted(20, "plan", 1, Output(), "hash", 12.5),
        StepCacheHit(30, "draw", "hash", "key", Output(), RUN, "cache"),
        started("sing"),
        StepCompleted(40, "sing", 1, Output(), "hash", 1.0),
        started("pack"),
        StepCompleted(50, "pack", 1, Output(), "hash", 1.0),
        RunCompleted(3000, 3, 1),
    )
    assert statuses(progress) == ["completed", "skipped", "completed", "completed"]
    assert progress.steps["plan"].duration_ms == 12.5
    assert progress.steps["draw"].hit == "cache"
    assert progress.is_over
    assert outcome(progress) == {
        "runId": RUN,
        "status": "completed",
        "durationMs": 2000,
        "steps": {"completed": 3, "skipped": 1},
    }


def test_a_retry_and_a_failure() -> None:
    failed = StepFailed(20, "plan", 1, ERROR, 3.0)
    progress = after(TRIGGERED, RunStarted(1, "w"), started("plan"), failed, StepRetried(20, "plan", 2, 99))
    assert progress.steps["plan"].status == "pending"
    assert progress.steps["plan"].error == "TOO_LOUD: turn it down\nplease"

    for view in views(started("plan", attempt=2), StepFailed(30, "plan", 2, ERROR, 3.0), RunFailed(40, ERROR, "plan")):
        progress.apply(view)
    assert progress.steps["plan"].attempt == 2
    assert statuses(progress) == ["failed", "pending", "pending", "pending"]
    assert progress.note.startswith("TOO_LOUD")


def test_what_was_executing_starts_again_when_another_worker_takes_over() -> None:
    progress = after(TRIGGERED, RunStarted(1, "a"), started("plan"), RunRecovered(2, "b", "a"))
    assert progress.steps["plan"].status == "pending"
    assert progress.note == "taken over by b"


def test_a_cancelled_run_leaves_nothing_running() -> None:
    progress = after(TRIGGERED, RunStarted(1, "w"), started("plan"), RunCancelled(5, "why", "me"))
    assert count(progress.steps.values()) == {"cancelled": 4}
    assert progress.note == "by me - why"


def test_a_blocked_run_names_the_skills() -> None:
    assert after(TRIGGERED, RunStarted(1, "w"), RunBlocked(2, ("s",))).note == "no worker knows s"


def test_reused_steps_are_skipped_from_the_beginning() -> None:
    update = RunTriggered(0, "w.v1", "1", "digest", "update", {}, impacted=("sing", "pack"))
    assert statuses(after(update)) == ["skipped", "skipped", "pending", "pending"]


def test_what_a_skill_says_of_itself_counts_while_it_runs() -> None:
    progress = after(TRIGGERED, RunStarted(1, "w"), started("plan"))
    for step, attempt in (("plan", 1), ("draw", 1), ("unknown", 1), ("plan", 2)):
        data = {"step": step, "attempt": attempt, "fraction": attempt / 4, "message": "some"}
        progress.apply({"type": "StepProgress", "data": data})
    assert progress.steps["plan"].fraction == 0.25, "of this attempt"
    assert progress.steps["draw"].fraction is None


class Replay:
    """A client that knows one history."""

    def __init__(self, *events: RunEvent) -> None:
        self._events = views(*events)

    async def events(self, run_id: str, *, progress: bool) -> AsyncIterator[dict[str, Any]]:
        assert run_id == RUN
        assert progress
        for view in self._events:
            yield view


async def test_elsewhere_than_on_a_terminal_each_event_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    client = Replay(
        TRIGGERED,
        RunStarted(1000, "w"),
        started("plan"),
        StepFailed(20, "plan", 1, ERROR, 3.0),
        StepRetried(20, "plan", 2, 99),
        started("plan", attempt=2),
        StepCompleted(20, "plan", 2, Output(), "hash", 1500.0),
        StepCacheHit(30, "draw", "hash", "key", Output(), RUN, "unchanged"),
        RunCancelled(2500, None, "me"),
    )
    await watch(cast("Calls", client), begin())
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        f"run {RUN} of w.v1 1 queued",
        "run running",
        "step plan started",
        "step plan failed, attempt 1: TOO_LOUD: turn it down please",
        "step plan will be retried at 1970-01-01T00:00:00.099Z, attempt 2",
        "step plan started, attempt 2",
        "step plan completed after 1.50 s",
        "step draw skipped, unchanged",
        "run cancelled after 1.50 s: by me",
    ]


async def test_nothing_is_shown_when_nothing_is_to_be_shown(capsys: pytest.CaptureFixture[str]) -> None:
    progress = await watch(cast("Calls", Replay(TRIGGERED, RunCompleted(5, 0, 0))), begin(), quiet=True)
    assert progress.status == "completed"
    assert capsys.readouterr() == ("", "")


def test_events_that_tell_nothing_have_no_line() -> None:
    assert event_line(begin(), {"type": "FromTheFuture", "data": {}}) is None


def drawn(progress: RunProgress, height: int, width: int = 100) -> str:
    console = Console(width=width, height=height, force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(_Picture(progress, console))
    return capture.get()


def test_the_tree_places_a_step_below_the_last_it_waits_for() -> None:
    progress = after(
        TRIGGERED,
        RunStarted(1, "w"),
        started("plan"),
        StepCompleted(20, "plan", 1, Output(), "hash", 12.0),
        started("sing"),
    )
    picture = drawn(progress, 40)
    rows = [line.rstrip() for line in picture.splitlines()]
    assert "w.v1 1  run" in rows[0]
    assert rows[1].endswith("plan 12 ms")
    assert [name for line in rows for name in ("plan", "draw", "sing", "pack") if f" {name}" in line] == [
        "plan",
        "draw",
        "pack",
        "sing",
    ]
    assert rows[-1] == "4 steps: 2 pending, 1 running, 1 completed"


def test_of_a_run_too_large_for_the_screen_what_executes_and_fails_is_shown() -> None:
    picture = drawn(after(TRIGGERED, RunStarted(1, "w"), started("sing")), 5)
    assert "sing" in picture
    assert "draw" not in picture
    assert "4 steps: 3 pending, 1 running" in picture


def test_on_a_narrow_screen_no_id_is_broken() -> None:
    long = "mix_audio_for_a_game_of_many_words"
    workflow = {"steps": [{"stepId": "plan"}, {"stepId": long, "dependsOn": ["plan"]}]}
    progress = begin_progress({"id": RUN, "workflowName": "w.v1", "workflowVersion": "1"}, workflow)
    for view in views(TRIGGERED, RunStarted(1, "w"), started(long)):
        progress.apply(view)
    data = {"step": long, "attempt": 1, "fraction": 0.5, "message": "mixing the loudest of all tracks"}
    progress.apply({"type": "StepProgress", "data": data})
    for width in (80, 60, 50, 40):
        picture = drawn(progress, 40, width)
        assert RUN in picture, picture
        assert long in picture, picture
