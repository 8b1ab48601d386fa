"""The inspector: lists the archive files, and verifies that they hold exactly what was archived."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from orchestrator.artifacts.errors import StoreUnavailable
from orchestrator.audit.chain import digest
from orchestrator.audit.transfer.end import DamagedExport
from orchestrator.domain.audit import faults
from orchestrator.domain.events import RunTriggered
from orchestrator.eventstore.mapper import EventMapper
from orchestrator.eventstore.recorder import EventRow
from orchestrator.eventstore.runs import FindWorkflow
from orchestrator.postgres.database import Database
from orchestrator.postgres.sql import load_sql
from orchestrator.postgres.unavailable import DatabaseUnavailable
from orchestrator.retention.archive import Archive, ArchiveFile

_SQL = load_sql(__file__)
_DIGEST_BYTES = 32

OnRuns = Callable[[int], None]
"""Called with the number of archived runs checked so far."""


@dataclass(frozen=True, slots=True)
class Archived:
    """The record of an archive file: its contents, the chain head at that time, and who archived it when.

    `cutoff` is the time before which its runs had ended (milliseconds since 1970 UTC).
    """

    name: str
    sha256: str
    size_bytes: int
    runs: int
    events: int
    first_position: int
    last_position: int
    chain_position: int
    chain_link: str
    cutoff: int
    archived_by: str
    archived_at: datetime


@dataclass(frozen=True, slots=True)
class ArchiveFault:
    """A difference between an archive file and its record: the place, and what is wrong."""

    place: str
    message: str


class Inspector:
    """Reads and verifies the archive. Synchronous, changes nothing."""

    def __init__(self, database: Database, mapper: EventMapper, find_workflow: FindWorkflow, archive: Archive) -> None:
        self._database = database
        self._mapper = mapper
        self._find_workflow = find_workflow
        self._archive = archive

    def archives(self) -> list[Archived]:
        """Return the archive files sorted by name, which starts with the month."""
        return [Archived(**row) for row in self._all(_SQL.archives)]

    def verify(self, on_runs: OnRuns | None = None) -> Iterator[ArchiveFault]:
        """Yield what is wrong. No faults at all is the proof.

        Every file exists unchanged. It holds exactly the events of its runs, each with the digest in the tombstone.
        Every history is valid. And there is a record of every run that was deleted instead.
        """
        looked_at = 0
        for archived in self.archives():
            yield from self._file_faults(archived)
            looked_at += archived.runs
            if on_runs is not None:
                on_runs(looked_at)
        for row in self._all(_SQL.unrecorded):
            yield ArchiveFault(
                f"run {row['run_id']}", "left the log without a file and without a record of its deletion"
            )

    def _file_faults(self, archived: Archived) -> Iterator[ArchiveFault]:
        kept = {row["run_id"]: row for row in self._all(_SQL.digests, {"archive": archived.name})}
        events = sum(len(row["digests"]) for row in kept.values()) // _DIGEST_BYTES
        if (len(kept), events) != (archived.runs, archived.events):
            yield ArchiveFault(
                archived.name,
                f"has tombstones of {len(kept)} runs and {events} events, instead of {archived.runs} and "
                f"{archived.events}",
            )
        try:
            fault = self._archive.fault(ArchiveFile(archived.name, archived.sha256, archived.size_bytes))
        except StoreUnavailable as error:
            yield ArchiveFault(archived.name, f"cannot be checked: {error}")
            return
        if fault is not None:
            yield ArchiveFault(archived.name, fault)
        streams: dict[UUID, list[EventRow]] = {}
        try:
            for row in self._archive.read(archived.name):
                streams.setdefault(row[0], []).append(row)
        except (DamagedExport, OSError) as error:
            if fault is None:
                yield ArchiveFault(archived.name, f"cannot be read: {error}")
            return
        for run_id in [*kept, *(run_id for run_id in streams if run_id not in kept)]:
            yield from self._run_faults(archived.name, run_id, streams.get(run_id, ()), kept.get(run_id))

    def _run_faults(
        self, name: str, run_id: UUID, rows: Sequence[EventRow], kept: Mapping[str, Any] | None
    ) -> Iterator[ArchiveFault]:
        place = f"{name}, run {run_id}"
        if kept is None:
            yield ArchiveFault(place, "has no tombstone for this file")
            return
        recorded = kept["digests"]
        if len(rows) * _DIGEST_BYTES != len(recorded):
            yield ArchiveFault(place, f"has {len(rows)} events, but {len(recorded) // _DIGEST_BYTES} were archived")
            return
        altered = [
            row
            for number, row in enumerate(rows)
            if digest(row) != recorded[number * _DIGEST_BYTES : (number + 1) * _DIGEST_BYTES]
        ]
        for row in altered:
            yield ArchiveFault(f"{place}, position {row[4]}", f"{row[2]} differs from what was recorded")
        if not altered:
            yield from (ArchiveFault(place, fault) for fault in self._history_faults(run_id, rows))

    def _history_faults(self, run_id: UUID, rows: Sequence[EventRow]) -> list[str]:
        try:
            history = [self._mapper.from_row(*row) for row in rows]
            first = history[0].event
            if not isinstance(first, RunTriggered):
                return [f"starts with {type(first).__name__} instead of RunTriggered"]
            workflow = self._find_workflow(history[0].tenant, first.workflow_name, first.workflow_version)
            versioned: Any = [(recorded.version, recorded.event) for recorded in history]
            return faults(str(run_id), workflow, versioned)
        except DatabaseUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - any error from a tampered history is a finding
            return [f"cannot be read: {error!r}"]

    def _all(self, statement: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        with self._database.connection() as connection:
            return connection.execute(statement, parameters).fetchall()
