"""The read model `artifacts`: every artifact that a step made or registered, one row per tenant and artifact."""

from collections.abc import Iterator

from orchestrator.postgres.database import Connection
from orchestrator.postgres.session import Statement
from orchestrator.postgres.sql import load_sql
from orchestrator.projections.read_models.contract import ProjectedRun, ReadModel, Row

_SQL = load_sql(__file__)


class Artifacts(ReadModel):
    """One row per artifact, with the run and step that made it first."""

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
        """Yield a row for each artifact of the completed steps among those touched."""
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
        """Keep only the row of the step that made each artifact first."""
        connection.execute(_SQL.settle)
