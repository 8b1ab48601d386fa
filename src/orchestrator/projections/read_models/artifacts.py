"""The read model `artifacts`: every content that a step made or registered, once a tenant."""

from collections.abc import Iterator

from orchestrator.postgres.database import Connection
from orchestrator.postgres.session import Statement
from orchestrator.postgres.sql import load_sql
from orchestrator.projections.read_models.contract import ProjectedRun, ReadModel, Row

_SQL = load_sql(__file__)


class Artifacts(ReadModel):
    """One row an artifact; the run that made it first is its maker."""

    name = "artifacts"
    version = 1
    key: tuple[str, ...] = ("tenant", "id")
    documents: tuple[str, ...] = ("metadata",)
    topics: tuple[str, ...] | None = (
        "RunTriggered",
        "StepCompleted",
        "RunCompleted",
        "RunFailed",
        "RunCancelled",
    )
    upsert = Statement("upsert_artifacts", _SQL.upsert, ["json"])

    def rows(self, projected: ProjectedRun) -> Iterator[Row]:
        """Return a row for each artifact that the steps touched have made."""
        run = projected.run
        for step_id in projected.touched:
            state = run.steps[step_id]
            if state.status != "completed" or state.output is None:
                continue
            for artifact in state.output.artifacts:
                yield {
                    "tenant": projected.tenant,
                    "id": artifact.id,
                    "type": artifact.type,
                    "uri": artifact.uri,
                    "content_hash": artifact.content_hash,
                    "size_bytes": artifact.size_bytes,
                    "filename": artifact.filename,
                    "metadata": artifact.metadata,
                    "run_id": run.id,
                    "step_id": step_id,
                    "created_at": state.ended_at,
                }

    def settle(self, connection: Connection) -> None:
        """Leave of each artifact the row of whoever made it first."""
        connection.execute(_SQL.settle)
