"""The cold tier: results in Postgres, kept without a time limit, and the register of who is making which."""

from collections.abc import Collection, Sequence
from typing import Any

import orjson

from orchestrator.cache.answers import Answer, Granted, Hit, Question, Taken
from orchestrator.domain.output import output_from_json
from orchestrator.eventstore.database import Database
from orchestrator.eventstore.sql import load_sql

_SQL = load_sql(__file__)

Spoiled = tuple[str, str | None]
"""A result that cannot be used: its key and the run that made it, or None for all with this key."""

NO_RESULT = "no result with this key"
"""Why a step was not skipped when there is nothing more to say."""


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
        spoiled: Collection[Spoiled] = (),
    ) -> list[Answer]:
        """Answer each question, in order.

        Args:
            tenant: whose results.
            run_id: the run that asks; it is in the queue, or what it is granted is free for all.
            serving: the runs whose `run_only` results may serve it.
            questions: with distinct keys.
            spoiled: results that turned out to be unusable.
        """
        with self._database.connection() as connection:
            rows = connection.execute(
                _SQL.consult,
                {
                    "tenant": tenant,
                    "run_id": run_id,
                    "worker": self._worker,
                    "serving": list(serving),
                    "keys": [question.key for question in questions],
                    "skills": [question.skill for question in questions],
                    "steps": [question.step for question in questions],
                    "shared": [question.shared for question in questions],
                    "spoiled_keys": [key for key, _ in spoiled],
                    "spoiled_runs": [maker for _, maker in spoiled],
                },
                prepare=True,
            ).fetchall()
        answers = {row["key"]: _answer(row) for row in rows}
        return [answers[question.key] for question in questions]

    def epoch(self, tenant: str) -> int:
        """Return the epoch that the tenant's results belong to."""
        with self._database.connection() as connection:
            row = connection.execute(_SQL.epoch, (tenant,), prepare=True).fetchone()
        return int(row["epoch"]) if row else 0


def _answer(row: dict[str, Any]) -> Answer:
    if row["source_run"] is not None:
        return Hit(output_from_json(orjson.loads(row["output"])), row["source_run"], "cold")
    return Granted(NO_RESULT) if row["granted"] else Taken()
