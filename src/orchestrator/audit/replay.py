"""Replay: step through the history of a run event by event, and compare two of its moments or two runs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from orchestrator.domain.events import RunCancelled, RunRecovered
from orchestrator.domain.run import Run
from orchestrator.eventstore.folding import FindWorkflow, LoadedRun
from orchestrator.eventstore.recorded import Recorded
from orchestrator.projections.views.event_views import event_view
from orchestrator.projections.views.values import View

_COMPARED = (
    "status",
    "inputHash",
    "data",
    "outputHash",
    "artifacts",
    "skillId",
    "attempt",
    "cacheHit",
    "error",
    "durationMs",
)

_DONE = frozenset({"completed", "skipped"})
_RESULTS = ("data", "artifacts", "outputHash", "inputHash", "skillId")


def frames(history: Sequence[Recorded], find_workflow: FindWorkflow) -> Iterator[View]:
    """Yield each event of a run's history with its effect: `{event, status, changes}`.

    `changes` lists the steps whose status changed, with the status before and after. The cost of a frame does not
    depend on the length of the history.
    """
    loaded = LoadedRun.fold(history[:1], find_workflow)
    run = loaded.run
    yield {"event": event_view(history[0]), "status": run.status, "changes": []}
    for recorded in history[1:]:
        touched = _touched(run, recorded)
        before = {step_id: run.step(step_id).status for step_id in touched}
        loaded.evolve(recorded.event, recorded.version, recorded.position)
        after = {step_id: run.step(step_id).status for step_id in touched}
        changes = [
            {"stepId": step_id, "before": before[step_id], "after": after[step_id]}
            for step_id in touched
            if before[step_id] != after[step_id]
        ]
        yield {"event": event_view(recorded), "status": run.status, "changes": changes}


def _touched(run: Run, recorded: Recorded) -> Sequence[str]:
    match recorded.event:
        case RunRecovered():
            return list(run.executing)
        case RunCancelled():
            return run.workflow.graph.order
        case event:
            step_id = getattr(event, "step", None)
            return [] if step_id is None else [step_id]


def contents(artifacts: Iterable[View]) -> list[View]:
    """Return the identity of artifacts without their origin, so that two moments can be compared."""
    return [{name: each[name] for name in ("filename", "type", "contentHash", "sizeBytes")} for each in artifacts]


def compare(before: View, after: View) -> View:
    """Return the differences between two moments: in the run, in its payload, and in each step.

    A moment is `{run, steps}`. In the result, `run` and `payload` are lists of `{field, before, after}`. `steps` has an
    entry for each step that differs, with such a list in `differences`; `only` is set if just one moment has the step.
    `main` is the one difference that matters most. It is None if both moments hold the same result for the step, and
    only how it was produced is different: executed or reused, in how many attempts, how fast.
    `reused` names the steps that are equal because one run reuses the other's result, or both reuse that of a third.
    """
    ours, theirs = ({step["stepId"]: step for step in each["steps"]} for each in (before, after))
    runs = before["run"]["id"], after["run"]["id"]
    steps, reused = [], []
    for step_id in dict.fromkeys((*ours, *theirs)):
        if step_id not in ours or step_id not in theirs:
            only = "before" if step_id in ours else "after"
            steps.append({"stepId": step_id, "only": only, "main": None, "differences": []})
            continue
        if runs[0] != runs[1] and _is_one_result(ours[step_id], theirs[step_id], runs):
            reused.append(step_id)
            continue
        found = [
            difference
            for name in _COMPARED
            for difference in differences(ours[step_id].get(name), theirs[step_id].get(name), name)
        ]
        if found:
            main = _main(found, ours[step_id], theirs[step_id])
            steps.append({"stepId": step_id, "only": None, "main": main, "differences": found})
    run = [
        difference
        for name in ("workflowName", "workflowVersion", "triggerType", "status", "error", "labels")
        for difference in differences(before["run"][name], after["run"][name], name)
    ]
    return {
        "run": run,
        "payload": list(differences(before["run"]["triggerPayload"], after["run"]["triggerPayload"], "")),
        "steps": steps,
        "reused": reused,
    }


def _main(found: Sequence[View], ours: View, theirs: View) -> View | None:
    """Return the difference that matters most, or None if both steps hold the same result of the same input and skill.

    Whether a result was made here or reused says nothing about what the step holds.
    """
    ended = [step["status"] in _DONE for step in (ours, theirs)]
    fields = _RESULTS if all(ended) else ("status", "error", *_RESULTS)
    for name in fields:
        for each in found:
            if each["field"] == name or each["field"].startswith((f"{name}.", f"{name}[")):
                return each
    return None


def _is_one_result(ours: View, theirs: View, runs: tuple[str, str]) -> bool:
    """Return whether both steps share one result: one run reuses that of the other, or both reuse that of a third."""
    if "reused" not in (ours["hitReason"], theirs["hitReason"]):
        return False
    return (ours["reusedFromRunId"] or runs[0]) == (theirs["reusedFromRunId"] or runs[1])


def differences(before: Any, after: Any, place: str) -> Iterator[View]:
    """Yield the differences of two JSON values as `{field, before, after}`, at the deepest level possible."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in dict.fromkeys((*before, *after)):
            yield from differences(before.get(key), after.get(key), f"{place}.{key}" if place else str(key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from differences(one, other, f"{place}[{number}]")
    elif before != after:
        yield {"field": place, "before": before, "after": after}
