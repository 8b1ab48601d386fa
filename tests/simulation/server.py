"""The database of the simulation: the log, the tables beside it, notifications, and all that befalls them.

The tables obey the same rules as their SQL (`apply_inline`, `is_dead`, `consult`, the queries of `claims.sql`):
whoever changes those changes these.
"""

import asyncio
import hashlib
import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from eventsourcing.persistence import StoredEvent

from orchestrator.domain.events import StepCacheHit, StepCompleted, StepFailed
from orchestrator.eventstore.append import Inline
from orchestrator.eventstore.memory import MemoryLog
from orchestrator.postgres.listener import CANCEL, EVENTS, FLIGHTS, QUEUE
from orchestrator.postgres.unavailable import DatabaseUnavailable
from tests.simulation.loop import OUTSIDE, PROCESS, Process, SimulatedLoop

_CLAIMS_IN_MEMORY_SECONDS = 0.6  # commits that did not wait for the disk are lost in a crash of the server
SUSPECT = 3  # losses
SUSPECT_SECONDS = 10.0  # a minute in reality
_GETS_ON = (StepCompleted, StepCacheHit, StepFailed)
_WRITES = frozenset({"append", "beat", "sweep", "claim", "_claim", "release", "sign_off", "_answer"})
_SPREAD = (0.0, 0.2, 0.5, 1.0)  # coarse, so that things happen at the same time


@dataclass
class Weather:
    """How likely it is that a statement fails, and how slow the network is (seconds, at most)."""

    refused: float = 0.0
    lost: float = 0.0
    limbo: float = 0.0
    latency: float = 0.002
    news_latency: float = 0.02
    news_twice: float = 0.0


@dataclass
class Queued:
    tenant: str
    number: int
    owner: str | None = None
    blocked_on: tuple[str, ...] | None = None
    losses: int = 0
    lost_version: int = 0
    claimed_at: float = 0.0


@dataclass
class Registered:
    lease: float
    heartbeat_at: float


@dataclass
class Flight:
    run_id: str
    step_id: str
    worker: str
    waited: bool = False


@dataclass(eq=False)
class Session:
    """A listening connection; `open` as the server sees it."""

    process: Process
    deliver: Callable[[str, str], None]
    lost: Callable[[], None]
    open: bool = True


@dataclass
class Server:
    loop: SimulatedLoop
    chance: random.Random
    weather: Weather = field(default_factory=Weather)
    queue: dict[str, Queued] = field(default_factory=dict)
    workers: dict[str, Registered] = field(default_factory=dict)
    results: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)
    flights: dict[tuple[str, str], Flight] = field(default_factory=dict)
    sessions: list[Session] = field(default_factory=list)
    away: bool = False
    read_only: bool = False
    _recent_claims: list[tuple[float, str, str]] = field(default_factory=list)
    _number: int = 0

    def __post_init__(self) -> None:
        self.log = MemoryLog(apply_inline=self.apply_inline)

    # Statements and what can happen to one on its way.

    async def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a statement: it may not arrive, its answer may be lost, it may take effect after it was given up."""
        answer = self.loop.create_future()
        process = PROCESS.get(None)
        self._later(self.weather.latency, self._arrive, process, partial(function, *args), answer)
        return await answer

    async def ask(self, function: Callable[..., Any], *args: Any) -> Any:
        """Like `call`, until it is answered."""
        while True:
            try:
                return await self.call(function, *args)
            except DatabaseUnavailable:
                await asyncio.sleep(0.05 + 0.2 * self.chance.random())

    def _later(self, most: float, function: Callable[..., None], *args: Any) -> None:
        self.loop.call_later(most * self.chance.choice(_SPREAD), function, *args, context=OUTSIDE)

    def _arrive(self, process: Process | None, statement: "partial[Any]", answer: "asyncio.Future[Any]") -> None:
        given_up = answer.cancelled() or (process is not None and not process.alive)
        if given_up and self.chance.random() < 0.5:
            return
        fate = self.chance.random()
        weather = self.weather
        if self.away or fate < weather.refused:
            self._answer(answer, DatabaseUnavailable("the connection is refused"))
        elif fate < weather.refused + weather.limbo:
            self._answer(answer, DatabaseUnavailable("the connection is lost, the statement goes on"))
            self._later(1.0, self._take_effect, statement)
        elif self.read_only and statement.func.__name__ in _WRITES:
            self._answer(answer, DatabaseUnavailable("this server is a standby", answered=True))
        else:
            result = self._take_effect(statement)
            lost = fate < weather.refused + weather.limbo + weather.lost
            self._answer(answer, DatabaseUnavailable("the answer is lost") if lost else result)

    def _take_effect(self, statement: Callable[[], Any]) -> Any:
        if self.away:
            return None
        try:
            return statement()
        except Exception as error:  # noqa: BLE001 - carried to whoever asked
            return error

    def _answer(self, answer: "asyncio.Future[Any]", result: Any) -> None:
        self._later(self.weather.latency, _resolve, answer, result)

    # The log.

    def append(self, stored: Sequence[StoredEvent], inline: Inline | None) -> int:
        position = self.log.insert(stored, inline)
        self.notify(EVENTS, str(self.log.last_position()))
        return position

    def apply_inline(self, rows: Inline) -> None:
        for row in rows.get("queue_put", ()):
            self._number += 1
            queued = self.queue.setdefault(row["run_id"], Queued(row["tenant"], self._number))
            queued.owner = row["owner"]
            if queued.owner is None:
                self.notify(QUEUE, "")
        for row in rows.get("queue_block", ()):
            if (queued := self.queue.get(row["run_id"])) is not None:
                queued.owner, queued.blocked_on = None, tuple(row["skills"])
                self.notify(QUEUE, "")
        for row in rows.get("cache_put", ()):
            kept = self.results.setdefault((row["tenant"], row["key"]), [])
            kept[:] = [one for one in kept if one["run_id"] != row["run_id"]]
            kept.append(row)
            self._land(row["run_id"], row["step_id"])
        for row in rows.get("flight_drop", ()):
            self._land(row["run_id"], row["step_id"])
        for run_id in (*rows.get("queue_drop", ()), *rows.get("queue_cancel", ())):
            self.queue.pop(run_id, None)
            self._land(run_id)
        for run_id in rows.get("queue_cancel", ()):
            self.notify(CANCEL, run_id)

    def _land(self, run_id: str, step_id: str | None = None) -> None:
        """Land the flight of a step, or (None) all those of a run."""
        for place, flight in list(self.flights.items()):
            if flight.run_id == run_id and step_id in (flight.step_id, None):
                del self.flights[place]
                if flight.waited:
                    self.notify(FLIGHTS, hashlib.md5(place[1].encode()).hexdigest())

    # Claims and workers.

    def is_dead(self, name: str) -> bool:
        worker = self.workers.get(name)
        return worker is None or worker.heartbeat_at < self.loop.now - worker.lease

    def beat(self, name: str, lease: float, skills: Collection[str]) -> dict[str, Any]:
        self.workers[name] = Registered(lease, self.loop.now)
        rows = list(self.queue.values())
        return {
            "others_at_work": any(row.owner not in (None, name) for row in rows),
            "owned": sum(row.owner == name for row in rows),
            "waiting": any(self._claimable(row, skills) for row in rows),
        }

    def sweep(self, name: str) -> int:
        freed = 0
        for run_id, row in self.queue.items():
            if row.owner not in (None, name) and self.is_dead(str(row.owner)):
                row.losses = 1 if self._got_on(run_id, row.lost_version) else row.losses + 1
                row.lost_version = len(self.log.read(run_id))
                row.owner = None
                freed += 1
        return freed

    def _got_on(self, run_id: str, version: int) -> bool:
        return any(isinstance(one.event, _GETS_ON) for one in self.log.read(run_id, version))

    def claim(self, name: str, room: int, skills: Collection[str]) -> list[str]:
        free = [run_id for run_id, row in self.queue.items() if self._claimable(row, skills)]
        chosen = [run_id for run_id in free if self.queue[run_id].losses < SUSPECT][:room]
        suspects = [run_id for run_id in free if self.queue[run_id].losses >= SUSPECT]
        if suspects and not any(
            row.owner == name
            and row.losses >= SUSPECT
            and row.claimed_at > self.loop.now - SUSPECT_SECONDS
            and not self._got_on(run_id, row.lost_version)
            for run_id, row in self.queue.items()
        ):
            chosen.append(min(suspects, key=lambda run_id: self.queue[run_id].losses))
        for run_id in chosen:
            row = self.queue[run_id]
            row.owner, row.blocked_on, row.claimed_at = name, None, self.loop.now
            self._recent_claims.append((self.loop.now, run_id, name))
        return chosen

    @staticmethod
    def _claimable(row: Queued, skills: Collection[str]) -> bool:
        return row.owner is None and (row.blocked_on is None or set(row.blocked_on) <= set(skills))

    def owners(self, name: str, run_ids: Collection[str]) -> dict[str, str | None]:
        return {run_id: row.owner for run_id, row in self.queue.items() if row.owner == name or run_id in run_ids}

    def release(self, name: str, run_ids: Collection[str]) -> None:
        for run_id in run_ids:
            row = self.queue.get(run_id)
            if row is not None and row.owner == name:
                row.owner = None
                self.notify(QUEUE, "")

    def sign_off(self, name: str) -> None:
        self.release(name, list(self.queue))
        self.workers.pop(name, None)

    # The step cache.

    def consult(self, worker: str, tenant: str, run_id: str, serving: Collection[str], question: Any) -> Any:
        """A stored result, True (go and make it) or False (somebody else is)."""
        place = (tenant, question.key)
        for row in reversed(self.results.get(place, ())):
            shared = row["scope"] == "global" and question.shared
            if row["skill"] == question.skill and (shared or row["run_id"] in serving):
                return row
        if not question.shared:
            return True
        flight = self.flights.get(place)
        if flight is None:
            self.flights[place] = Flight(run_id, question.step, worker)
            return True
        flight.waited = True
        if flight.run_id == run_id or self._is_over(flight):
            flight.run_id, flight.step_id, flight.worker = run_id, question.step, worker
            return True
        return False

    def _is_over(self, flight: Flight) -> bool:
        row = self.queue.get(flight.run_id)
        return row is None or row.owner != flight.worker or self.is_dead(flight.worker)

    # Notifications.

    def notify(self, channel: str, payload: str) -> None:
        for session in self.sessions:
            if session.open:
                for _ in range(2 if self.chance.random() < self.weather.news_twice else 1):
                    self.loop.call_later(
                        self.weather.news_latency * self.chance.choice(_SPREAD),
                        _deliver,
                        session,
                        channel,
                        payload,
                        context=session.process.context,
                    )

    def cut(self, session: Session) -> None:
        """Close a listening connection, from this side."""
        if session.open:
            session.open = False
            self.sessions.remove(session)
            self.loop.call_later(0.05 * self.chance.random(), session.lost, context=session.process.context)

    def crash(self) -> None:
        """Stop at once: sessions and flights are gone, and claims that were not on disk yet."""
        self.away = True
        for session in list(self.sessions):
            self.cut(session)
        self.flights.clear()
        for when, run_id, owner in self._recent_claims:
            row = self.queue.get(run_id)
            if when > self.loop.now - _CLAIMS_IN_MEMORY_SECONDS and row is not None and row.owner == owner:
                row.owner = None
        self._recent_claims.clear()

    def restart(self) -> None:
        self.away = False


def _resolve(answer: "asyncio.Future[Any]", result: Any) -> None:
    if answer.done():
        return
    if isinstance(result, Exception):
        answer.set_exception(result)
    else:
        answer.set_result(result)


def _deliver(session: Session, channel: str, payload: str) -> None:
    if session.open:
        session.deliver(channel, payload)
