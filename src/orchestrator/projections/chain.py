"""The hash chain over the log: any later change of what it covers is found, and where.

    link(n) = SHA-256(link(n - 1) + digest(n)),  link(0) = 32 zero bytes
    digest(n) = SHA-256(position, stream, version, name, state), each with its length before it

It is computed behind the writers, segment by segment. A head (position and link) that was exported, and
signed if there is a key, cannot be met again by a log that was changed, shortened or reordered before it.
"""

import hashlib
import struct
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from orchestrator.eventstore.database import DATABASE_AWAY, Connection, Database
from orchestrator.eventstore.listener import EVENTS, Listener
from orchestrator.eventstore.recorder import LogRecorder
from orchestrator.eventstore.sql import load_sql

_SQL = load_sql(__file__)

SEGMENT_EVENTS = 1000
BEGINNING = bytes(32)
_MARK_BYTES = 8
_PAUSE_SECONDS = 1.0


class StoredRow(Protocol):
    """An event as the table holds it."""

    @property
    def id(self) -> int:
        """Its position."""

    @property
    def originator_id(self) -> UUID | str:
        """Its stream."""

    @property
    def originator_version(self) -> int:
        """Its version."""

    @property
    def topic(self) -> str:
        """Its stored name."""

    @property
    def state(self) -> bytes:
        """Its state as stored."""


@dataclass(frozen=True, slots=True)
class ChainHead:
    """What the whole log up to a position comes to: `link` is a SHA-256 in hex."""

    position: int
    link: str


@dataclass(frozen=True, slots=True)
class ChainFault:
    """The first position at which the log is not what the chain says, and what is wrong there."""

    position: int
    message: str


@dataclass(frozen=True, slots=True)
class _Segment:
    number: int
    first_position: int
    last_position: int
    head: bytes
    marks: bytes


def next_link(link: bytes, event: StoredRow) -> bytes:
    """Return the link of an event that follows the one with `link`."""
    stream = event.originator_id if isinstance(event.originator_id, UUID) else UUID(event.originator_id)
    name = event.topic.encode()
    digest = hashlib.sha256(
        struct.pack(">q16sqI", event.id, stream.bytes, event.originator_version, len(name))
        + name
        + struct.pack(">I", len(event.state))
        + event.state
    ).digest()
    return hashlib.sha256(link + digest).digest()


class Chain:
    """Keeps the chain and checks the log against it. Synchronous."""

    def __init__(self, database: Database, recorder: LogRecorder) -> None:
        self._database = database
        self._recorder = recorder

    def extend(self) -> int:
        """Cover one more segment's worth of the log and return how many events that were."""
        with self._database.transaction() as connection:
            row = connection.execute(_SQL.lock).fetchone()
            if row is None or not row["locked"]:
                return 0
            segment, link, marks = self._open_segment(connection)
            room = SEGMENT_EVENTS - len(marks) // _MARK_BYTES
            position = segment.first_position + len(marks) // _MARK_BYTES - 1
            events = self._recorder.read_log(position, room)
            for event in events:
                link = next_link(link, event)
                marks += link[:_MARK_BYTES]
            if events:
                connection.execute(
                    _SQL.write,
                    {
                        "number": segment.number,
                        "first_position": segment.first_position,
                        "last_position": events[-1].id,
                        "head": link,
                        "marks": marks,
                    },
                )
        return len(events)

    def head(self) -> ChainHead:
        """Cover the whole log and return what it comes to."""
        while self.extend():
            pass
        with self._database.connection() as connection:
            row = connection.execute(_SQL.last_segment).fetchone()
        return ChainHead(int(row["last_position"]), row["head"].hex()) if row else ChainHead(0, BEGINNING.hex())

    def verify(self, head: ChainHead | None = None) -> ChainFault | None:
        """Walk the log and say where it first differs from the chain, or from a head exported earlier.

        A head finds what the chain beside the log cannot: that both were rewritten, or cut short.
        """
        link, position, at_head = BEGINNING, 0, None
        segments = self._segments()
        segment = next(segments, None)
        for event in self._events():
            if event.id != position + 1:
                return ChainFault(position + 1, f"the event is missing; the next one there has position {event.id}")
            position = event.id
            link = next_link(link, event)
            if segment is not None and segment.last_position < position:
                segment = next(segments, None)
            if segment is not None and _mark(segment, position) != link[:_MARK_BYTES]:
                return ChainFault(position, f"{event.topic} of stream {event.originator_id} is not what was recorded")
            if head is not None and position == head.position:
                at_head = link.hex()
        covered = segment.last_position if segment is not None else 0
        if (cut := self._first_cut(position, covered, segments)) is not None:
            return ChainFault(cut, f"the log ends at position {position}, the chain goes on")
        if head is not None and head.position > 0 and at_head != head.link:
            if at_head is None:
                return ChainFault(position + 1, f"the log ends at position {position}, the head is at {head.position}")
            return ChainFault(head.position, "the log up to here does not come to the head given, nor did it before")
        return None

    @staticmethod
    def _first_cut(position: int, covered: int, rest: Iterable[_Segment]) -> int | None:
        last = max((segment.last_position for segment in rest), default=covered)
        return position + 1 if max(last, covered) > position else None

    def _open_segment(self, connection: Connection) -> tuple[_Segment, bytes, bytes]:
        """Return the segment to write to, the link so far and its marks so far."""
        row = connection.execute(_SQL.last_segment).fetchone()
        if row is None:
            return _Segment(1, 1, 0, BEGINNING, b""), BEGINNING, b""
        if len(row["marks"]) // _MARK_BYTES < SEGMENT_EVENTS:
            return _Segment(**row), row["head"], row["marks"]
        following = _Segment(row["number"] + 1, row["last_position"] + 1, row["last_position"], row["head"], b"")
        return following, row["head"], b""

    def _segments(self) -> Iterator[_Segment]:
        with self._database.connection() as connection:
            rows = connection.execute(_SQL.segments).fetchall()
        return (_Segment(**row) for row in rows)

    def _events(self) -> Iterator[StoredRow]:
        position = 0
        while batch := self._recorder.read_log(position, 10_000):
            yield from batch
            position = batch[-1].id


def _mark(segment: _Segment, position: int) -> bytes:
    start = (position - segment.first_position) * _MARK_BYTES
    return segment.marks[start : start + _MARK_BYTES]


class ChainKeeper:
    """A thread that keeps the chain close behind the log."""

    def __init__(self, chain: Chain, listener: Listener) -> None:
        self._chain = chain
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="chain", daemon=True)
        listener.on(EVENTS, lambda _: self._wake.set())

    def start(self) -> None:
        """Begin to follow the log."""
        self._wake.set()
        self._thread.start()

    def stop(self) -> None:
        """End after the segment under way."""
        self._stopping.set()
        self._wake.set()
        self._thread.join()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait()
            self._wake.clear()
            with suppress(*DATABASE_AWAY):
                while not self._stopping.is_set() and self._chain.extend() == SEGMENT_EVENTS:
                    pass
            self._stopping.wait(_PAUSE_SECONDS)  # many small appends become one extension
        with suppress(*DATABASE_AWAY):
            self._chain.extend()
