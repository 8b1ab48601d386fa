"""Pages of a run's steps: now or at an earlier point, in full or as a summary; and one step with its input."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from orchestrator.application.core import Core
from orchestrator.application.errors import InvalidRequest
from orchestrator.application.moments import parse_moment, up_to
from orchestrator.domain.errors import Fault, UnknownStep
from orchestrator.eventstore.runs import LoadedRun
from orchestrator.projections.views.values import View

MAX_STEPS = 1000
"""The most steps of a page."""
MAX_INPUT_BYTES = 32_768
"""An input whose JSON text is longer is not shown, only its beginning."""
PREVIEW_BYTES = 1024

_SUMMARY = (
    "stepId",
    "skillId",
    "status",
    "attempt",
    "hitReason",
    "reusedFromRunId",
    "worker",
    "dueAt",
    "startedAt",
    "endedAt",
    "durationMs",
    "progress",
)


@dataclass(frozen=True, slots=True)
class StepQuery:
    """Which steps of a run to return.

    Attributes:
        at: a version of the run's history, or an RFC 3339 time; None means now.
        statuses: only steps with one of these statuses.
        view: `full`, or `summary` without results, errors and past attempts.
        cursor: id of a step: only those after it in topological order.
        limit: maximum number of steps, 1 to 1000; None means all.
    """

    at: str | None = None
    statuses: tuple[str, ...] = ()
    view: Literal["full", "summary"] = "full"
    cursor: str | None = None
    limit: int | None = None


def read_step_page(core: Core, tenant: str, run_id: str, query: StepQuery) -> dict[str, Any]:
    """Return `{runId, version, steps, nextCursor, total}`; `total` is the number of all steps. Synchronous.

    Raises:
        InvalidRequest: the cursor names no step, or the run has not reached this version.
        RunNotFound: there is no run with this id, or it belongs to another tenant, or it did not exist yet.
    """
    if query.at is not None:
        loaded = load_at(core, tenant, run_id, query.at)
        views, version = core.reader.folded_steps(loaded), loaded.run.version
    else:
        views, version = core.reader.brief_steps(tenant, run_id)
    chosen = [view for view in _after(views, query.cursor) if not query.statuses or view["status"] in query.statuses]
    following = None
    if query.limit is not None and len(chosen) > query.limit:
        chosen = chosen[: query.limit]
        following = chosen[-1]["stepId"]
    if query.view == "summary":
        chosen = [_summary(view) for view in chosen]
    elif query.at is None and chosen:
        chosen = core.reader.full_steps(tenant, run_id, [view["stepId"] for view in chosen])
    return {"runId": run_id, "version": version, "steps": chosen, "nextCursor": following, "total": len(views)}


async def read_step(core: Core, tenant: str, run_id: str, step_id: str, at: str | None) -> View:
    """Return a step with its input, now or at an earlier point.

    An input of more than 32 KiB is None; `inputPreview` is then its beginning, and `inputBytes` its size.

    Raises:
        InvalidRequest: the run has not reached this version.
        RunNotFound: there is no run with this id, or it belongs to another tenant, or it did not exist yet.
        UnknownStep: the run's workflow has no such step.
    """
    loaded = await core.database.call(load_at, core, tenant, run_id, at)
    workflow = loaded.run.workflow
    if step_id not in workflow.steps:
        raise UnknownStep.of(workflow.name, step_id, workflow.steps)
    (view,) = await core.database.call(_one, core, tenant, loaded, step_id, at)
    value = await core.explainer.input(tenant, loaded, step_id)
    text = b"" if value is None else orjson.dumps(value)
    is_large = len(text) > MAX_INPUT_BYTES
    return {
        **view,
        "dependsOn": list(workflow.steps[step_id].depends_on),
        "input": None if is_large else value,
        "inputBytes": len(text) or None,
        "inputPreview": text[:PREVIEW_BYTES].decode("utf-8", "ignore") if is_large else None,
    }


def load_at(core: Core, tenant: str, run_id: str, at: str | None) -> LoadedRun:
    """Return a run folded from its events, all of them or those up to a version or time. Synchronous.

    Raises:
        InvalidRequest: `at` is neither, or the run has not reached this version.
        RunNotFound: there is no run with this id, or it belongs to another tenant, or it did not exist yet.
    """
    moment = None if at is None else parse_moment(at)
    history = core.reader.history(tenant, run_id)
    return core.runs.fold(run_id, history if moment is None else up_to(moment, run_id, history), tenant)


def _one(core: Core, tenant: str, loaded: LoadedRun, step_id: str, at: str | None) -> list[View]:
    if at is None:
        return core.reader.full_steps(tenant, loaded.run.id, [step_id])
    return [view for view in core.reader.folded_steps(loaded) if view["stepId"] == step_id]


def _after(views: list[View], cursor: str | None) -> Iterable[View]:
    if cursor is None:
        return views
    place = next((number for number, view in enumerate(views) if view["stepId"] == cursor), None)
    if place is None:
        raise InvalidRequest([Fault("cursor", "is not the id of a step of this run")])
    return views[place + 1 :]


def _summary(view: View) -> View:
    error = view["error"]
    return {**{name: view[name] for name in _SUMMARY}, "errorCode": None if error is None else error["code"]}
