"""The cold tier: results in Postgres, kept without a time limit, and the register of who is making which."""

from collections.abc import Collection, Sequence

from orchestrator.cache.answers import Answer, Granted, Hit, Question, Taken
from orchestrator.domain.output import output_from_json
from orchestrator.eventstore.database import Database
from orchestrator.eventstore.sql import load_sql

_SQL = load_sql(__file__)


class ColdTier:
    """Looks results up and grants the making of missing ones, all in one round trip. Synchronous."""

    def __init__(self, database: Database, worker: str) -> None:
        self._database = database
        self._worker = worker

    def consult(
        self,
        tenant: str,
        run_id: str,
        serving: Sequence[str],
        questions: Sequence[Question],
        spoiled: Collection[str] = (),
    ) -> list[Answer]:
        """Answer each question, in order.

        Args:
            tenant: whose results.
            run_id: the run that asks.
            serving: the runs whose `run_only` results may serve it.
            questions: with distinct keys.
            spoiled: keys whose results turned out to be unusable.
        """
        with self._database.connection() as connection:
            rows = connection.execute(
                _SQL.consult,
                {
                    "tenant": tenant,
                    "run_id": run_id,
                    "serving": list(serving),
                    "keys": [question.key for question in questions],
                    "skills": [question.skill for question in questions],
                    "steps": [question.step for question in questions],
                    "shared": [question.shared for question in questions],
                    "spoiled": list(spoiled),
                    "worker": self._worker,
                },
                prepare=True,
            ).fetchall()
        answers: dict[str, Answer] = {}
        for row in rows:
            if row["source_run"] is not None:
                answers[row["key"]] = Hit(output_from_json(row["output"]), row["source_run"], "cold")
            else:
                answers[row["key"]] = Granted("no result with this key") if row["granted"] else Taken()
        return [answers[question.key] for question in questions]

    def epoch(self, tenant: str) -> int:
        """Return how often results of the tenant were invalidated."""
        with self._database.connection() as connection:
            row = connection.execute(_SQL.epoch, (tenant,), prepare=True).fetchone()
        return int(row["epoch"]) if row else 0

    def land(self, run_id: str, steps: Sequence[str]) -> None:
        """Give up the making of results: whoever waits may try."""
        with self._database.connection() as connection:
            connection.execute(_SQL.land, {"run_ids": [run_id] * len(steps), "steps": list(steps)}, prepare=True)
