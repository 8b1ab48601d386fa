"""Who works on what: claims on queued runs, heartbeats, and the sweep that frees the runs of dead workers.

A claim only says who may try. Whether a worker owns a run is decided by the event it appends: the stream's
version refuses the second. So claims need not be on disk to be right, and are committed without waiting.
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
"""How much of a lease a heartbeat may wait for its answer before the connection is replaced."""
_TRUE = b"\x01"


@dataclass(frozen=True, slots=True)
class WorkerIdentity:
    """A worker process: `id` is unique for ever, `lease_seconds` how long it may miss heartbeats.

    `process` tells others on its machine whether it still runs; see `process_identity`.
    """

    id: str
    host: str
    pid: int
    lease_seconds: float
    process: str | None = None


@dataclass(frozen=True, slots=True)
class HeartbeatReply:
    """What a heartbeat learns: whether others own runs, how many are this worker's, whether some wait for it."""

    others_at_work: bool
    owned: int
    waiting: bool


@dataclass(frozen=True, slots=True)
class Claimed:
    """Runs that this worker may drive now, as far as they could be read; `maybe_more` when the room was used up.

    `losses` says of some how many workers each lost without getting on.
    """

    runs: list[LoadedRun]
    maybe_more: bool
    losses: Mapping[str, int] = field(default_factory=dict)


class Claims:
    """The queue and the register of workers in Postgres, as one worker sees them."""

    def __init__(self, database: Database, mapper: EventMapper, runs: RunStore, worker: WorkerIdentity) -> None:
        self._database = database
        self._mapper = mapper
        self._runs = runs
        self._worker = worker
        self._unreadable: set[str] = set()
        # Of its own, and given up early: no other statement may keep a heartbeat from being tried again in time.
        self._heart = database.loop_session(worker.lease_seconds * _BEAT_SHARE)

    async def beat(self, skills: Sequence[str]) -> HeartbeatReply:
        """Say that this worker, which has these skills, is alive; returns how things stand."""
        worker = self._worker
        found = await self._heart.run(
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
        """Say that this worker is alive, from a thread: its event loop is blocked."""
        with self._database.connection() as connection:
            connection.execute(_SQL.keep_lease, {"id": self._worker.id})

    async def sweep(self) -> int:
        """Free the runs of workers that are dead and return how many there were.

        Whose process has ended on this machine is dead at once, whatever its lease and its session say.
        """
        neighbours = await self._run(_SQL.neighbours, {"id": self._worker.id})
        ended = [row["id"] for row in neighbours if has_ended(row["pulse"])]
        return int((await self._run(_SQL.sweep, {"id": self._worker.id, "ended": ended}))[0]["freed"])

    async def claim(self, room: int, skills: Sequence[str]) -> Claimed:
        """Claim up to `room` runs and read what their events tell, in one round trip.

        A run that is blocked is claimed only if all the skills it lacks are among `skills`, and one of a format that
        this program does not know never is.
        """
        return await self._database.call(self._claim, room, skills)

    async def owners(self, run_ids: Sequence[str]) -> dict[str, str | None]:
        """Return the owner of each of these runs and of all that this worker owns.

        Runs that are over are left out, and those that cannot be folded: they stay with this worker.
        """
        rows = await self._run(_SQL.owners, {"id": self._worker.id, "run_ids": list(run_ids)})
        return {run_id: row["owner"] for row in rows if (run_id := str(row["run_id"])) not in self._unreadable}

    async def release(self, run_ids: Sequence[str]) -> None:
        """Give claimed runs back to whoever wants them."""
        await self._run(_SQL.release, {"id": self._worker.id, "run_ids": list(run_ids)})

    async def sign_off(self) -> None:
        """Give everything back: this worker ends."""
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
            logger.warning("run is left to workers of a newer release", extra={"run_id": run_id, "reason": str(error)})
            return None
        except (DomainError, UnreadableEvent):
            self._unreadable.add(run_id)
            logger.exception("run %s cannot be folded and stays with this worker until somebody looks", run_id)
            return None

    async def _run(self, statement: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        return await self._database.call(self._query, statement, parameters)

    def _query(self, statement: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        with self._database.connection() as connection:
            return connection.execute(statement, parameters, prepare=True, binary=True).fetchall()
