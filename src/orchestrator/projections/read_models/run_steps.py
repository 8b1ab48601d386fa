"""The read model `run_steps`: one row for each step of a run that has had an event."""

from collections.abc import Iterator

from orchestrator.domain.output import output_to_json
from orchestrator.postgres.session import Statement
from orchestrator.postgres.sql import load_sql
from orchestrator.projections.read_models.contract import ProjectedRun, ReadModel, Row

_SQL = load_sql(__file__)


class RunSteps(ReadModel):
    """One row for each step that has had an event."""

    name = "run_steps"
    version = 1
    key: tuple[str, ...] = ("run_id", "step_id")
    documents: tuple[str, ...] = ("past", "output", "error")
    topics: tuple[str, ...] | None = None
    upsert = Statement("upsert_run_steps", _SQL.upsert, ["json"])

    def rows(self, projected: ProjectedRun) -> Iterator[Row]:
        """Yield the rows of the touched steps."""
        run = projected.run
        for step_id in projected.touched:
            state = run.steps[step_id]
            yield {
                "run_id": run.id,
                "step_id": step_id,
                "tenant": projected.tenant,
                "skill": state.skill,
                "status": state.status,
                "attempt": state.attempt,
                "past": state.past,
                "worker": state.worker,
                "input_hash": state.input_hash,
                "cache_key": state.cache_key,
                "hit": state.hit,
                "miss": state.miss,
                "source_run": state.source_run,
                "output": None if state.output is None else output_to_json(state.output),
                "output_hash": state.output_hash,
                "artifacts": 0 if state.output is None else len(state.output.artifacts),
                "error": state.error,
                "due_at": state.due_at,
                "started_at": state.started_at,
                "ended_at": state.ended_at,
                "duration_ms": state.duration_ms,
                "because": state.because,
            }
