"""Views of the status of read models and the results of rebuilds, as camelCase JSON (see docs/projections)."""

from orchestrator.projections.rebuild.differences import RebuildReport, RowDifference
from orchestrator.projections.rebuild.supervision import Standing
from orchestrator.projections.views.values import View, timestamp


def standing_view(standing: Standing) -> View:
    """Return the view of a read model's status."""
    rebuild, last = standing.rebuild, standing.last_rebuild
    return {
        "name": standing.name,
        "kind": standing.kind,
        "version": standing.version,
        "programVersion": standing.program_version,
        "position": standing.position,
        "lagEvents": standing.lag_events,
        "lagSeconds": round(standing.lag_seconds, 3),
        "state": standing.state,
        "stoppedAt": standing.stopped_at,
        "error": standing.error,
        "rebuild": None
        if rebuild is None
        else {
            "state": rebuild.state,
            "version": rebuild.version,
            "events": rebuild.events,
            "goal": rebuild.goal,
        },
        "lastRebuild": None if last is None else {**last, "finishedAt": timestamp(last["finishedAt"])},
    }


def report_view(report: RebuildReport) -> View:
    """Return the view of the result of a rebuild or comparison."""
    return {
        "name": report.name,
        "version": report.version,
        "replacedVersion": report.replaced,
        "position": report.position,
        "events": report.events,
        "resumedAt": report.resumed_at,
        "seconds": round(report.seconds, 3),
        "swapped": report.swapped,
        "faulty": report.is_faulty,
        "differing": report.differing,
        "differences": [difference_view(one) for one in report.differences],
    }


def difference_view(found: RowDifference) -> View:
    """Return the view of a row that differs."""
    return {
        "key": found.key,
        "kind": found.kind,
        "columns": {column: {"live": live, "rebuilt": rebuilt} for column, (live, rebuilt) in found.columns.items()},
    }
