"""The run queue: claims, heartbeats, and the sweep that frees the runs of dead workers.

A claim is only a hint about which worker may try. The event that a worker appends decides whether it owns the run:
the stream's version check rejects a second owner. Claims therefore need not be durable to be correct, and are
committed without waiting for the disk.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from orchestrator.domain.errors import DomainError, NeedsNewerProgram
from orchestrator.eventstore.codec import UnreadableEvent
from orchestrator.eventstore.formats import FORMAT
from orchestrator.eventstore.mapper import EventMapper
from orchestrator.eventstore.runs import LoadedRun, RunStore
from orchestrator.postgres.arrays import double, integer, text_array, to_bigint
from orchestrator.postgres.database import Database
from orchestrator.postgres.session import Statement
from orchestrator.postgres.sql import load_sql
from orchestrator.workers.process_identity import has_ended

logger = logging.getLogger(__name__)

_SQL = load_sql(__file__)
_BEAT = Statement("beat", _SQL.beat, ("text", "text", "int4", "text", "float8", "text[]", "int4"))
_BEAT_SHARE = 0.3
"""The share of a lease that a heartbeat may wait for its reply before the connection is replaced."""
_TRUE = b"\x01"


@dataclass(frozen=True, slots=True)
class WorkerIdentity:
    """Identifies a worker process: `id` is never reused, `lease_seconds` is how long it may miss heartbeats.

    `process` lets other workers on the same machine check whether it is still running; see `process_identity`.
    """

    id: str
    host: str
    pid: int
    lease_seconds: float
    process: str | None = None


@dataclass(frozen=True, slots=True)
class HeartbeatReply:
    """The reply to a heartbeat: whether other workers own runs, how many this one owns, whether it could claim some."""

    others_at_work: bool
    owned: int
    waiting: bool


@dataclass(frozen=True, slots=True)
class Claimed:
    """The claimed runs that could be read; `maybe_more` is set when the claim was filled up.

    `losses` maps a run to how many workers it has lost without making progress; runs that lost none are omitted.
    """

    runs: list[LoadedRun]
    maybe_more: bool
    losses: Mapping[str, int] = field(default_factory=dict)


class Claims:
    """The queue and the register of workers in Postgres, as seen by one worker."""

    def __init__(self, database: Database, mapper: EventMapper, runs: RunStore, worker: WorkerIdentity) -> None:
        self._database = database
        self._mapper = mapper
        self._runs = runs
        self._worker = worker
        self._unreadable: set[str] = set()
        # A separate session with a short timeout: no other statement may delay a heartbeat or its retry.
        self._heartbeat_session = database.loop_session(worker.lease_seconds * _BEAT_SHARE)

    async def beat(self, skills: Sequence[str]) -> HeartbeatReply:
        """Write a heartbeat and return the state of the queue for a worker with these skills."""
        worker = self._worker
        found = await self._heartbeat_session.run(
            _BEAT,
            (
                worker.id.encode(),
                worker.host.encode(),
                integer(worker.pid),
                None if worker.process is None else worker.process.encode(),
                double(worker.lease_seconds),
                text_array(skills),
                integer(FORMAT),
            ),
        )
        others, owned, waiting = (found.get_value(0, column) for column in range(3))
        return HeartbeatReply(others == _TRUE, to_bigint(owned), waiting == _TRUE)

    def keep_lease(self) -> None:
        """Write a heartbeat from another thread, while the event loop is blocked."""
        with self._database.connection() as connection:
            connection.execute(_SQL.keep_lease, {"id": self._worker.id})

    async def sweep(self) -> int:
        """Free the runs of dead workers and return how many were freed.

        A worker whose process on this machine has ended is dead immediately, whatever its lease and its database
        session say.
        """
        neighbours = await self._run(_SQL.neighbours, {"id": self._worker.id})
        ended = [row["id"] for row in neighbours if has_ended(row["pulse"])]
        return int((await self._run(_SQL.sweep, {"id": self._worker.id, "ended": ended}))[0]["freed"])

    async def claim(self, room: int, skills: Sequence[str]) -> Claimed:
        """Claim up to `room` runs and load their events, in one round trip.

        A blocked run is claimed only if all the skills it lacks are among `skills`. A run of a format that this program
        does not know is never claimed.
        """
        return await self._database.call(self._claim, room, skills)

    async def owners(self, run_ids: Sequence[str]) -> dict[str, str | None]:
        """Return the owner of each given run and of every run this worker owns.

        Finished runs are omitted, and so are runs that cannot be folded: those stay with this worker.
        """
        rows = await self._run(_SQL.owners, {"id": self._worker.id, "run_ids": list(run_ids)})
        return {run_id: row["owner"] for row in rows if (run_id := str(row["run_id"])) not in self._unreadable}

    async def release(self, run_ids: Sequence[str]) -> None:
        """Return claimed runs to the queue, where any worker can claim them."""
        await self._run(_SQL.release, {"id": self._worker.id, "run_ids": list(run_ids)})

    async def sign_off(self) -> None:
        """Return all runs to the queue and remove this worker from the register."""
        await self._run(_SQL.sign_off, {"id": self._worker.id})

    def _claim(self, room: int, skills: Sequence[str]) -> Claimed:
        rows = self._query(_SQL.claim, {"id": self._worker.id, "room": room, "skills": list(skills), "format": FORMAT})
        streams = groupby(rows, key=lambda row: str(row["originator_id"]))
        too_new: list[str] = []
        folded = [self._fold(run_id, stream, too_new) for run_id, stream in streams]
        if too_new:
            self._query(_SQL.leave, {"id": self._worker.id, "run_ids": too_new, "format": FORMAT + 1})
        losses = {str(row["originator_id"]): row["losses"] for row in rows if row["losses"]}
        return Claimed([loaded for loaded in folded if loaded is not None], len(folded) >= room, losses)

    def _fold(self, run_id: str, stream: Iterable[dict[str, Any]], too_new: list[str]) -> LoadedRun | None:
        try:
            history = [
                self._mapper.from_row(
                    row["originator_id"], row["originator_version"], row["topic"], row["state"], row["notification_id"]
                )
                for row in stream
            ]
            return self._runs.fold(run_id, history)
        except NeedsNewerProgram as error:
            too_new.append(run_id)
            logger.warning("run left to workers of a newer release", extra={"run_id": run_id, "reason": str(error)})
            return None
        except (DomainError, UnreadableEvent):
            self._unreadable.add(run_id)
            logger.exception("run %s cannot be folded and is held by this worker, inspect its events", run_id)
            return None

    async def _run(self, statement: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        return await self._database.call(self._query, statement, parameters)

    def _query(self, statement: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        with self._database.connection() as connection:
            return connection.execute(statement, parameters, prepare=True, binary=True).fetchall()
