"""Views of the rows of the read models: camelCase JSON, times in RFC 3339 UTC (see docs/http-api)."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid5

from orchestrator.domain.bounds import FIRST_TIME_MS, LAST_TIME_MS
from orchestrator.domain.run import STEP_STATUSES
from orchestrator.projections.read_models.contract import Row

STATUSES = STEP_STATUSES
View = dict[str, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def timestamp(at: int | None) -> str | None:
    """Return milliseconds since 1970 UTC as RFC 3339 with milliseconds.

    Times before year 1 or after year 9999, which old logs may contain, are shown as the nearest valid time.
    """
    if at is None:
        return None
    moment = _EPOCH + timedelta(milliseconds=min(max(at, FIRST_TIME_MS), LAST_TIME_MS))
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def run_view(row: Row, counts: Mapping[str, int], total: int) -> View:
    """Return the view of a run; `counts` are the numbers of its rows in `run_steps` by status."""
    return {
        "id": str(row["run_id"]),
        "workflowName": row["workflow_name"],
        "workflowVersion": row["workflow_version"],
        "triggerType": row["trigger_type"],
        "triggerPayload": row["payload"],
        "status": row["status"],
        "baseRunId": None if row["base_run_id"] is None else str(row["base_run_id"]),
        "changeRequest": row["change"],
        "error": _run_error(row),
        "missingSkills": row["missing_skills"],
        "stepsSummary": steps_summary(row, counts, total),
        "labels": row["labels"],
        "priority": row["priority"],
        "createdAt": timestamp(row["created_at"]),
        "startedAt": timestamp(row["started_at"]),
        "completedAt": timestamp(row["completed_at"]),
        "updatedAt": timestamp(row["updated_at"]),
        "version": row["stream_version"],
        "position": row["position"],
    }


def steps_summary(row: Row, counts: Mapping[str, int], total: int) -> dict[str, int]:
    """Count the steps by status. A step without a row is pending, cancelled with its run, reused, or still omitted."""
    summary: dict[str, int] = {"total": total, **{status: counts.get(status, 0) for status in STATUSES}}
    concerned = total if row["impacted"] is None else len(row["impacted"])
    untouched = concerned - sum(counts.get(status, 0) for status in STATUSES)
    summary["cancelled" if row["status"] == "cancelled" else "pending"] += untouched
    omitted = len(row["omitted_steps"] or ())
    summary["omitted"] += omitted
    summary["skipped"] += total - concerned - omitted
    return summary


def _run_error(row: Row) -> View | None:
    error = row["error"]
    if error is None:
        return None
    return {
        "code": error["code"],
        "message": error["message"],
        "failedStepId": row["failed_step"],
        "timestamp": timestamp(row["completed_at"]),
        "details": error["details"],
    }


def step_view(run_id: str, step_id: str, skill: str, row: Row) -> View:
    """Return the view of a step that has had an event."""
    output = row["output"] or {}
    source = row["source_run"]
    return {
        "id": step_uuid(run_id, step_id),
        "stepId": step_id,
        "skillId": skill,
        "status": row["status"],
        "inputHash": row["input_hash"],
        "cacheKey": row["cache_key"],
        "attempt": max(1, row["attempt"]),
        "cacheHit": row["hit"] is not None,
        "hitReason": row["hit"],
        "reusedFromRunId": None if source is None else str(source),
        "outputArtifactIds": [artifact["id"] for artifact in output.get("artifacts", ())],
        "data": output.get("data"),
        "dataRef": _data_ref(output),
        "dataPreview": _data_preview(output),
        "dataUrl": None if output.get("dataRef") is None else data_url(run_id, step_id),
        "error": None if row["error"] is None else _attempt_error(row["error"], row["attempt"], row["ended_at"]),
        "attempts": [_past_attempt(past) for past in row["past"]],
        "worker": row["worker"],
        "dueAt": timestamp(row["due_at"]) if row["status"] == "pending" else None,
        "startedAt": timestamp(row["started_at"]),
        "endedAt": timestamp(row["ended_at"]),
        "durationMs": row["duration_ms"],
        "progress": 1.0 if row["status"] in ("completed", "skipped") else row.get("fraction") or 0.0,
        "progressMessage": row.get("message"),
        "omittedBecause": _omission(row),
    }


def _omission(row: Row) -> str | None:
    """Return why a step was omitted, or None if it was not."""
    if row["status"] != "omitted":
        return None
    return "its condition is false" if row["because"] is None else f"{row['because']} has no result"


def progress_view(row: Row) -> View:
    """Return the latest progress that the skill of an executing step reported. It is not an event: it has no place."""
    return {
        "type": "StepProgress",
        "data": {
            "step": row["step_id"],
            "attempt": row["attempt"],
            "fraction": round(row["fraction"], 4),
            "message": row["message"],
        },
    }


def untouched_step_view(run_id: str, step_id: str, skill: str, status: str) -> View:
    """Return the view of a step that has had no event yet."""
    return {
        **dict.fromkeys(
            (
                "inputHash",
                "cacheKey",
                "hitReason",
                "reusedFromRunId",
                "data",
                "dataRef",
                "dataPreview",
                "dataUrl",
                "error",
                "worker",
                "dueAt",
                "startedAt",
                "endedAt",
                "durationMs",
                "progressMessage",
                "omittedBecause",
            )
        ),
        "id": step_uuid(run_id, step_id),
        "stepId": step_id,
        "skillId": skill,
        "status": status,
        "attempt": 1,
        "cacheHit": False,
        "outputArtifactIds": [],
        "attempts": [],
        "progress": 0.0,
    }


def reused_step_view(run_id: str, maker: str, view: View) -> View:
    """Return the view of a step whose result is reused from the run `maker`, based on that run's view of the step."""
    if view["status"] == "omitted":  # there is no result to reuse: it stays omitted
        return {**view, "id": step_uuid(run_id, view["stepId"])}
    return {
        **view,
        "id": step_uuid(run_id, view["stepId"]),
        "dataUrl": None if view["dataUrl"] is None else data_url(run_id, view["stepId"]),
        "status": "skipped",
        "cacheHit": False,
        "hitReason": "reused",
        "reusedFromRunId": view["reusedFromRunId"] or maker,
        "attempts": [],
        "worker": None,
    }


def artifact_views(step_id: str, maker: str, output: Mapping[str, Any], at: int | None) -> Iterator[View]:
    """Yield the views of the artifacts in a step's output."""
    for artifact in output.get("artifacts", ()):
        yield {**artifact, "stepId": step_id, "runId": maker, "createdAt": timestamp(at)}


def _data_ref(output: Mapping[str, Any]) -> View | None:
    """Return the reference to data that is too large for the log, or None; clients fetch the data separately."""
    kept = output.get("dataRef")
    return None if kept is None else {"contentHash": kept["contentHash"], "sizeBytes": kept["sizeBytes"]}


def _data_preview(output: Mapping[str, Any]) -> str | None:
    """Return the beginning of data that is too large for the log, or None; releases before 0.2 did not record it."""
    kept = output.get("dataRef")
    return None if kept is None else kept.get("metadata", {}).get("preview")


def data_url(run_id: str, step_id: str) -> str:
    """Return the path of the whole data of a step on a server."""
    return f"/api/v1/runs/{run_id}/steps/{quote(step_id, safe='')}/data"


def step_uuid(run_id: str, step_id: str) -> str:
    """Return the id of a step of a run: a UUIDv5 of its name in the namespace of the run's id."""
    return str(uuid5(UUID(run_id), step_id))


def _attempt_error(error: Mapping[str, Any], attempt: int, at: int | None) -> View:
    return {
        "code": error["code"],
        "message": error["message"],
        "attempt": attempt,
        "timestamp": timestamp(at),
        "details": error["details"],
    }


def _past_attempt(past: Mapping[str, Any]) -> View:
    """Return the view of an attempt that did not make the result; without an error, it was lost with its worker."""
    error = past["error"]
    return {
        "number": past["number"],
        "worker": past["worker"],
        "startedAt": timestamp(past["started_at"]),
        "endedAt": timestamp(past["ended_at"]),
        "durationMs": past["duration_ms"],
        "error": {"code": "WORKER_LOST", "message": "the worker was lost"}
        if error is None
        else _attempt_error(error, past["number"], past["ended_at"]),
    }
