"""Select the runs to archive: old, finished, and not needed by anything that stays.

    choose -> mark -> block appends -> has a new run referred to one of them since? -> commit, or choose again

A run is needed if the cache uses one of its results, or if a run that stays is based on it or reuses its results. Once
a run is marked, an append that refers to it is rejected.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from psycopg import Rollback
from psycopg.rows import tuple_row

from orchestrator.eventstore.inline import needs
from orchestrator.eventstore.log import PostgresLog
from orchestrator.postgres.database import Connection, Database
from orchestrator.postgres.sql import load_sql
from orchestrator.projections.read_models.built_in import NAMES

_SQL = load_sql(__file__)
_PAGE = 10_000


@dataclass(frozen=True, slots=True)
class RunSelection:
    """The number of runs to archive, and of old runs kept because the cache or other runs need them."""

    leaving: int
    kept_for_cache: int
    kept_for_runs: int


class Selector:
    """Chooses and marks runs. Synchronous."""

    def __init__(self, database: Database, log: PostgresLog) -> None:
        self._database = database
        self._log = log

    def count(self, before: int) -> RunSelection:
        """Return what `mark` would select, without marking it."""
        with self._database.transaction(bounded=False) as connection:
            selection, _ = self._choose(connection, before)
        return selection

    def mark(self, before: int) -> RunSelection:
        """Mark the runs that ended before a time (milliseconds since 1970 UTC) and are not needed."""
        while True:
            with self._database.transaction(bounded=False) as connection:
                selection, settled = self._choose(connection, before)
                connection.execute(_SQL.mark, {"before": before})
                tenants = [row["tenant"] for row in connection.execute(_SQL.withdraw)]
                seen = self._log.last_position()
                needed = set(self._needed(settled, seen))
                connection.execute(_SQL.hold_appends)
                needed.update(self._needed(seen, self._log.last_position()))
                row = connection.execute(_SQL.marked, {"run_ids": list(needed)}).fetchone()
                if row is not None and row["runs"] == 0:
                    if tenants:
                        connection.execute(_SQL.next_epoch, {"tenants": tenants})
                    return selection
                raise Rollback

    @staticmethod
    def _choose(connection: Connection, before: int) -> tuple[RunSelection, int]:
        """Choose runs, and return the selection with the log position that it is based on."""
        row = connection.execute(_SQL.settled, {"names": list(NAMES)}).fetchone()
        settled = int(row["position"]) if row else 0
        connection.execute(_SQL.choose, {"before": before, "settled": settled})
        counts = connection.execute(_SQL.counts).fetchone() or {}
        return RunSelection(**counts), settled

    def _needed(self, after: int, until: int) -> Iterator[str]:
        """Yield the runs that the events between two positions refer to."""
        while after < until:
            page = min(until, after + _PAGE)
            with self._database.connection() as connection, connection.cursor(row_factory=tuple_row) as cursor:
                rows = cursor.execute(_SQL.recent, {"after": after, "until": page}, binary=True).fetchall()
            for row in rows:
                recorded = self._log.mapper.from_row(*row)
                yield from (run for run in needs(recorded.event) if run != recorded.stream_id)
            after = page
