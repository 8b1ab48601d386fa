"""Find artifacts that several steps produced: when the first producer is archived, the read model must name the next.

Searching for the next producer reads all steps with artifacts. So this module finds in advance which artifacts have
one.
"""

from collections.abc import Set as AbstractSet

from psycopg.rows import tuple_row

from orchestrator.domain.events import StepCompleted
from orchestrator.eventstore.log import PostgresLog
from orchestrator.postgres.database import Database
from orchestrator.postgres.sql import load_sql
from orchestrator.projections.read_models.built_in import NAMES

_SQL = load_sql(__file__)
_PAGE = 10_000

Artifacts = AbstractSet[tuple[str, str]]
"""Pairs of tenant and artifact id."""


class Makers:
    """Tracks the artifacts that several steps produced, up to the end of the log."""

    def __init__(self, database: Database, log: PostgresLog) -> None:
        self._database = database
        self._log = log
        with database.transaction(bounded=False) as connection:
            row = connection.execute(_SQL.position, {"names": list(NAMES)}).fetchone()
            self._position = int(row["position"]) if row else 0
            self._several = {(row["tenant"], row["id"]) for row in connection.execute(_SQL.several)}

    def several(self, artifacts: Artifacts) -> set[tuple[str, str]]:
        """Return the artifacts that may have another producer."""
        end = self._log.last_position()
        while self._position < end:
            until = min(end, self._position + _PAGE)
            with self._database.connection() as connection, connection.cursor(row_factory=tuple_row) as cursor:
                place = {"after": self._position, "until": until}
                rows = cursor.execute(_SQL.completed, place, binary=True).fetchall()
            for row in rows:
                recorded = self._log.mapper.from_row(*row)
                if isinstance(recorded.event, StepCompleted):
                    made = recorded.event.output.artifacts
                    self._several.update((recorded.tenant, artifact.id) for artifact in made)
            self._position = until
        return self._several & set(artifacts)
