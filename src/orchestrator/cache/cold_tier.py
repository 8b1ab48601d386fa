"""The cold tier: results in Postgres without a time limit, and the flights of results that runs are producing."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress

import orjson
from psycopg import RawCursor
from psycopg.pq.abc import PGresult
from psycopg.rows import tuple_row

from orchestrator.cache.answers import Answer, Granted, Hit, Question, Taken
from orchestrator.domain.output import output_from_json
from orchestrator.postgres.arrays import text_array
from orchestrator.postgres.database import Database
from orchestrator.postgres.session import Statement
from orchestrator.postgres.sql import load_sql
from orchestrator.postgres.unavailable import DatabaseUnavailable

_SQL = load_sql(__file__)

_CONSULT = Statement("consult", _SQL.consult, (*("text",) * 3, *("text[]",) * 7))

_CONSULT_DATED = Statement("consult_dated", _SQL.consult_dated, (*("text",) * 3, *("text[]",) * 7))
"""Also returns the age of the results. It takes one more lookup for each, so it is used only if a step has a limit."""

_Row = tuple[str, str | None, str | None, bool, str | None]
"""The key, the run that produced the result, the result as JSON text, whether the caller must produce it, and when it
was stored: only for a question with `ttl_seconds`."""

Spoiled = tuple[str, str | None]
"""An unusable result: its key and the run that produced it, or None for all results with this key."""

NO_RESULT = "no result with this key"
"""The default reason for a cache miss."""


class ColdTier:
    """Looks up results and grants the caller the missing ones to produce, in one round trip."""

    def __init__(self, database: Database, worker: str) -> None:
        self._database = database
        self._worker = worker
        self._session = database.loop_session()

    async def ask(
        self,
        tenant: str,
        run_id: str,
        serving: Sequence[str],
        questions: Sequence[Question],
        spoiled: Collection[Spoiled] = (),
    ) -> list[Answer]:
        """Do what `consult` does, and retry until the database answers.

        Call it on one event loop only. If its connection is idle, it awaits the answer without a thread.
        """
        if not self._session.is_busy:
            asked = self._parameters(tenant, run_id, serving, questions, spoiled)
            with suppress(DatabaseUnavailable):
                found = await self._session.run(_statement(questions), [_encoded(value) for value in asked])
                return _answers(questions, _rows(found))
        return await self._database.ask(self.consult, tenant, run_id, serving, questions, spoiled)

    def consult(
        self,
        tenant: str,
        run_id: str,
        serving: Sequence[str],
        questions: Sequence[Question],
        spoiled: Collection[Spoiled] = (),
    ) -> list[Answer]:
        """Answer each question, in order. Synchronous.

        Args:
            tenant: tenant of the results.
            run_id: the run that asks. If it is not in the queue, other runs may take over what it is granted.
            serving: the runs whose `run_only` results it may use.
            questions: questions with distinct keys.
            spoiled: results that turned out to be unusable.
        """
        asked = self._parameters(tenant, run_id, serving, questions, spoiled)
        with self._database.connection() as connection, RawCursor(connection, row_factory=tuple_row) as cursor:
            rows = cursor.execute(_statement(questions).text, asked, prepare=True).fetchall()
        return _answers(questions, ((*row, None)[:5] for row in rows))

    def close(self) -> None:
        """Close the connection of the event loop."""
        self._session.close()

    def _parameters(
        self,
        tenant: str,
        run_id: str,
        serving: Sequence[str],
        questions: Sequence[Question],
        spoiled: Collection[Spoiled],
    ) -> list[str | list[str]]:
        return [
            tenant,
            run_id,
            self._worker,
            list(serving),
            [question.key for question in questions],
            [question.skill for question in questions],
            [question.step for question in questions],
            ["true" if question.shared else "false" for question in questions],
            [key for key, _ in spoiled],
            [maker or "" for _, maker in spoiled],
        ]

    def epoch(self, tenant: str) -> int:
        """Return the tenant's current epoch."""
        with self._database.connection() as connection:
            row = connection.execute(_SQL.epoch, (tenant,), prepare=True).fetchone()
        return int(row["epoch"]) if row else 0


def _statement(questions: Sequence[Question]) -> Statement:
    return _CONSULT if all(question.ttl_seconds is None for question in questions) else _CONSULT_DATED


def _encoded(value: str | list[str]) -> bytes:
    return value.encode() if isinstance(value, str) else text_array(value)


def _rows(found: PGresult) -> Iterator[_Row]:
    for row in range(found.ntuples):
        key, source_run, output = (found.get_value(row, column) for column in range(3))
        stored_at = found.get_value(row, 4) if found.nfields > 4 else None
        yield (
            (key or b"").decode(),
            None if source_run is None else source_run.decode(),
            None if output is None else output.decode(),
            found.get_value(row, 3) == b"\x01",
            None if stored_at is None else stored_at.decode(),
        )


def _answers(questions: Sequence[Question], rows: Iterable[_Row]) -> list[Answer]:
    answers = {key: _answer(run, output, granted, stored_at) for key, run, output, granted, stored_at in rows}
    return [answers[question.key] for question in questions]


def _answer(source_run: str | None, output: str | None, granted: bool, stored_at: str | None) -> Answer:
    if source_run is not None:
        at = None if stored_at is None else int(stored_at)
        return Hit(output_from_json(orjson.loads(output or "")), source_run, "cold", stored_at=at)
    return Granted(NO_RESULT) if granted else Taken()
