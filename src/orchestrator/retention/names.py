"""The content of the artifact store that something names: the log, the read models, the cache and the archive.

To keep what another table names, add a statement to `names.sql` whose name begins with `kept_`.
"""

from collections.abc import Collection, Iterator

from psycopg.rows import tuple_row

from orchestrator.artifacts.names import is_outside
from orchestrator.domain.events import Event, StepCacheHit, StepCompleted
from orchestrator.domain.output import Output
from orchestrator.eventstore.log import PostgresLog
from orchestrator.postgres.database import Database
from orchestrator.postgres.sql import load_sql
from orchestrator.projections.rebuild.stages import OnStage, silent
from orchestrator.retention.archive import Archive

_SQL = load_sql(__file__)
_KEPT = tuple(_SQL[name] for name in _SQL if name.startswith("kept_"))
_PAGE = 10_000
_ROWS = 5_000


def content_named(event: Event) -> Iterator[str]:
    """Yield the hashes of the stored content that an event names: artifacts, and data too large for the log."""
    if isinstance(event, StepCompleted | StepCacheHit):
        yield from _of_output(event.output)


def _of_output(output: Output) -> Iterator[str]:
    for artifact in (*output.artifacts, *(() if output.data_ref is None else (output.data_ref,))):
        if not is_outside(artifact):
            yield artifact.content_hash


class NamedContent:
    """Finds the content of one tenant that something names. Synchronous, changes nothing."""

    def __init__(self, database: Database, log: PostgresLog, archive: Archive, tenant: str) -> None:
        self._database = database
        self._log = log
        self._archive = archive
        self._tenant = tenant

    def all(self, on_stage: OnStage = silent) -> set[bytes]:
        """Return the SHA-256 of all named content, as 32 bytes each.

        It reads the whole log, and then the archive: a run that is archived meanwhile is found in one of the two.

        Raises:
            OSError, DamagedExport, ParquetMissing: an archive file cannot be read.
            UnreadableEvent: an event cannot be read.
        """
        named: set[bytes] = set()
        for found in (self._in_log(on_stage), self._in_archive(on_stage), self.in_rows()):
            named.update(bytes.fromhex(content_hash) for content_hash in found if content_hash)
        return named

    def in_rows(self, hashes: Collection[str] | None = None) -> Iterator[str]:
        """Yield the content that rows of tables name; with `hashes`, only what is among these."""
        wanted = None if hashes is None else list(hashes)
        for statement in _KEPT:
            with self._database.transaction(bounded=False) as connection, connection.cursor("kept") as cursor:
                cursor.itersize = _ROWS
                cursor.execute(statement, {"tenant": self._tenant, "hashes": wanted})
                for row in cursor:
                    if row["content_hash"]:
                        yield row["content_hash"]

    def among(self, hashes: Collection[str], position: int) -> set[str]:
        """Return those of some hashes that something names, once the read models have reached a position."""
        wanted, found = set(hashes), set[str]()
        for names in (self.in_rows(wanted), self._in_log(silent, position), self._in_archive(silent)):
            if found == wanted:
                break
            found.update(wanted.intersection(names))
        return found

    def in_events(self, after: int, until: int) -> Iterator[str]:
        """Yield the content that the events between two log positions name."""
        with self._database.connection() as connection, connection.cursor(row_factory=tuple_row) as cursor:
            rows = cursor.execute(_SQL.outputs, {"after": after, "until": until}, binary=True).fetchall()
        for row in rows:
            recorded = self._log.mapper.from_row(*row)
            if recorded.tenant == self._tenant:
                yield from content_named(recorded.event)

    def _in_log(self, on_stage: OnStage, after: int = 0) -> Iterator[str]:
        position, end = after, self._log.last_position()
        while position < end:
            until = min(end, position + _PAGE)
            yield from self.in_events(position, until)
            position = until
            on_stage("log: events", position, end)
            end = self._log.last_position()

    def _in_archive(self, on_stage: OnStage) -> Iterator[str]:
        with self._database.connection() as connection:
            archives = connection.execute(_SQL.archives).fetchall()
        read = 0
        for each in archives:
            for row in self._archive.read(each["name"]):
                recorded = self._log.mapper.from_row(*row)
                if recorded.tenant == self._tenant:
                    yield from content_named(recorded.event)
            read += each["events"]
            on_stage("archive: events", read, sum(one["events"] for one in archives))
