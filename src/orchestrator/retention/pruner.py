"""The pruner: removes content from the artifact store that no run, no cached result and no archive names.

    how old must content be -> what is named -> sweep

The first question comes first: what is stored after it was answered is too new to be removed. So the order makes it
safe beside workers, without stopping them.
"""

import logging
import time
from collections.abc import Collection
from dataclasses import dataclass

from psycopg.rows import tuple_row

from orchestrator.artifacts.store import ArtifactStore
from orchestrator.artifacts.sweeper import Sweep, Sweeper
from orchestrator.audit.transfer.end import DamagedExport
from orchestrator.audit.transfer.parquet import ParquetMissing
from orchestrator.domain.events import StepStarted
from orchestrator.eventstore.log import PostgresLog
from orchestrator.postgres.database import Database
from orchestrator.postgres.sql import load_sql
from orchestrator.projections.rebuild.stages import OnStage, silent
from orchestrator.retention.archive import Archive
from orchestrator.retention.names import NamedContent
from orchestrator.retention.turn import exclusively

logger = logging.getLogger(__name__)

_SQL = load_sql(__file__)

MIN_AGE_SECONDS = 3600.0
"""The minimum age of the content to remove while a worker is alive."""

MARGIN_SECONDS = 120.0
"""How much older than the oldest executing attempt content must be: clocks differ, and so do those of stores."""


class AgeTooLow(Exception):
    """A worker is alive, and the given age is below the minimum."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """The result of a prune: what was swept, and before which time (milliseconds since 1970 UTC) it was stored."""

    before: int
    sweep: Sweep


class Pruner:
    """Removes unnamed content of one tenant. Synchronous."""

    def __init__(
        self, database: Database, log: PostgresLog, archive: Archive, store: ArtifactStore, tenant: str
    ) -> None:
        self._database = database
        self._log = log
        self._tenant = tenant
        self._sweeper = Sweeper(store, tenant)
        self.named = NamedContent(database, log, archive, tenant)

    def prune(self, older_than_seconds: float, *, dry_run: bool = False, on_stage: OnStage = silent) -> Pruned:
        """Remove content that nothing names and that was stored longer ago than an age.

        What is newer than the start of the oldest attempt that is executing now stays, however low the age.

        Raises:
            AgeTooLow: a worker is alive, and the age is below `MIN_AGE_SECONDS`.
            RetentionRunning: another process is archiving, deleting or pruning.
            UndatedContent: the store does not say when its content was written.
            OSError, DamagedExport, ParquetMissing: the archive or the store cannot be read. Nothing is removed unless
                all names are known.
        """
        with exclusively(self._database):
            if older_than_seconds < MIN_AGE_SECONDS and (workers := self._living_workers()):
                raise AgeTooLow(
                    f"{workers} worker{'s are' if workers > 1 else ' is'} alive, and may be storing what no event "
                    "names yet; give an age of 1h or more, or stop the workers first"
                )
            before = min(time.time() - older_than_seconds, self.oldest_needed())
            named = self.named.all(on_stage)
            done = self._sweeper.sweep(
                named,
                before,
                dry_run=dry_run,
                on_objects=lambda objects: on_stage("artifact store: objects", objects, None),
            )
        return Pruned(round(before * 1000), done)

    def remove_unnamed(self, hashes: Collection[str], position: int) -> Sweep:
        """Remove those of some hashes that nothing names. The caller has the turn.

        What executing attempts may be storing again right now stays for the next prune, as does everything if the
        archive cannot be read.

        Args:
            hashes: the hashes, SHA-256 in hex.
            position: the log position that the read models have reached.
        """
        before = self.oldest_needed()
        try:
            named = self.named.among(hashes, position)
        except (OSError, DamagedExport, ParquetMissing):
            logger.exception("artifacts of a deleted run are left, archive unreadable")
            return Sweep(too_new=len(hashes))
        return self._sweeper.remove(set(hashes) - named, before)

    def oldest_needed(self) -> float:
        """Return the time (seconds since 1970 UTC) since when executing attempts may have stored content.

        Without executing attempts, that is now.
        """
        latest = time.time()
        with self._database.connection() as connection, connection.cursor(row_factory=tuple_row) as cursor:
            rows = cursor.execute(_SQL.attempts, {"tenant": self._tenant}, binary=True).fetchall()
        executing: dict[tuple[str, str], int] = {}
        for row in rows:
            recorded = self._log.mapper.from_row(*row)
            step = (recorded.stream_id, getattr(recorded.event, "step", ""))
            if isinstance(recorded.event, StepStarted):
                executing[step] = recorded.event.at
            else:
                executing.pop(step, None)
        return min((at / 1000 - MARGIN_SECONDS for at in executing.values()), default=latest)

    def _living_workers(self) -> int:
        with self._database.connection() as connection:
            row = connection.execute(_SQL.living_workers).fetchone()
        return 0 if row is None else int(row["workers"])
