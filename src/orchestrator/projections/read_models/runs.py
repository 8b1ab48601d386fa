"""The read model `runs`: one row per run, with its status and its trigger."""

from collections.abc import Iterator

from orchestrator.postgres.session import Statement
from orchestrator.postgres.sql import load_sql
from orchestrator.projections.read_models.contract import ProjectedRun, ReadModel, Row

_SQL = load_sql(__file__)


class Runs(ReadModel):
    """One row per run."""

    name = "runs"
    version = 1
    key: tuple[str, ...] = ("run_id",)
    documents: tuple[str, ...] = (
        "labels",
        "payload",
        "change",
        "impacted",
        "reused",
        "missing_skills",
        "error",
        "omitted_steps",
    )
    topics: tuple[str, ...] | None = (
        "RunTriggered",
        "RunStarted",
        "RunRecovered",
        "RunBlocked",
        "RunCompleted",
        "RunFailed",
        "RunCancelled",
        "StepFailed",
        "StepRetried",
    )
    upsert = Statement("upsert_runs", _SQL.upsert, ["json"])

    def rows(self, projected: ProjectedRun) -> Iterator[Row]:
        """Yield the run's row."""
        run, trigger = projected.run, projected.run.trigger
        yield {
            "run_id": run.id,
            "tenant": projected.tenant,
            "workflow_name": run.workflow.name,
            "workflow_version": run.workflow.version,
            "trigger_type": trigger.trigger_type,
            "status": run.status,
            "priority": trigger.priority,
            "labels": trigger.labels,
            "payload": trigger.payload,
            "base_run_id": trigger.base_run_id,
            "change": trigger.change,
            "impacted": trigger.impacted,
            "reused": trigger.reused,
            "missing_skills": run.missing_skills,
            "error": run.error,
            "failed_step": run.failed_step,
            "owner": run.owner,
            "created_at": trigger.at,
            "started_at": run.started_at,
            "completed_at": run.ended_at,
            "updated_at": projected.updated_at,
            "stream_version": run.version,
            "first_position": projected.first_position,
            "position": projected.position,
            "omitted_steps": trigger.omitted or None,
        }
