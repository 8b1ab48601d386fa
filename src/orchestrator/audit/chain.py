"""The hash chain over the log: any later change of what it covers is found, and where.

    link(n) = SHA-256(link(n - 1) + digest(n)),  link(0) = 32 zero bytes
    digest(n) = SHA-256(position, stream, version, name, state), each with its length before it

It is computed behind the writers, segment by segment. A head (position and link) that was exported, and
signed if there is a key, cannot be met again by a log that was changed, shortened or reordered before it.
"""

import hashlib
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from psycopg.rows import DictRow

from orchestrator.background.duty import DutyThread, OnRestart, ignore
from orchestrator.eventstore.recorder import EventRow, LogRecorder
from orchestrator.eventstore.tombstones import Tombstones
from orchestrator.postgres.database import Connection, Database
from orchestrator.postgres.listener import EVENTS, Listener
from orchestrator.postgres.sql import load_sql
from orchestrator.postgres.unavailable import DatabaseUnavailable
from orchestrator.projections.rebuild.stages import REPORT_EVENTS, OnStage, silent

_SQL = load_sql(__file__)

SEGMENT_EVENTS = 1000
BEGINNING = bytes(32)
_MARK_BYTES = 8
_PAUSE_SECONDS = 1.0
_SEGMENTS_AT_ONCE = 100
_PAGE = 2_000
_MAX_LOOKS, _LOOK_SECONDS = 100, 0.02


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

    def is_whole(self, position: int) -> bool:
        """Whether it covers a position, and has a mark for every event that it covers."""
        events = self.last_position - self.first_position + 1
        return self.first_position <= position <= self.last_position and len(self.marks) == events * _MARK_BYTES

    def fits(self, position: int, link: bytes) -> bool:
        """Whether the chain has this link at a position: its first bytes, the last one of a segment whole."""
        start = (position - self.first_position) * _MARK_BYTES
        marked = self.marks[start : start + _MARK_BYTES] == link[:_MARK_BYTES]
        return marked and (position < self.last_position or self.head == link)


def digest(row: EventRow) -> bytes:
    """Return the SHA-256 of an event with its place: all that a change could touch."""
    stream, version, topic, state, position = row
    name = topic.encode()
    return hashlib.sha256(
        b"%b%b%b%b"
        % (
            struct.pack(">q16sqI", position, stream.bytes, version, len(name)),
            name,
            struct.pack(">I", len(state)),
            state,
        )
    ).digest()


def next_link(link: bytes, row: EventRow) -> bytes:
    """Return the link of an event that follows the one with `link`."""
    return hashlib.sha256(link + digest(row)).digest()


@dataclass(slots=True)
class Tally:
    """What events come to, one after the other: how many they are, where the last stands, and the link."""

    events: int = 0
    position: int = 0
    link: bytes = BEGINNING

    def take(self, row: EventRow) -> None:
        """Count an event in."""
        self.take_digest(row[4], digest(row))

    def take_digest(self, position: int, of_event: bytes) -> None:
        """Count an event in of which only the digest is there."""
        self.link = hashlib.sha256(self.link + of_event).digest()
        self.position = position
        self.events += 1

    @property
    def head(self) -> ChainHead:
        """The head of a chain over exactly these events."""
        return ChainHead(self.position, self.link.hex())

    @property
    def is_beginning(self) -> bool:
        """Whether these are the first events of a log, none left out."""
        return self.events == self.position


@dataclass(frozen=True, slots=True)
class _Place:
    """A place in the log: the digest of the event there, and the event itself unless it has left for an archive."""

    position: int
    digest: bytes
    row: EventRow | None = None

    @property
    def name(self) -> str:
        """What it is called in a report."""
        return "the archived event" if self.row is None else f"{self.row[2]} of stream {self.row[0]}"


class Chain:
    """Keeps the chain and checks the log against it. Synchronous."""

    def __init__(self, database: Database, recorder: LogRecorder) -> None:
        self._database = database
        self._recorder = recorder
        self._tombstones = Tombstones(database)

    def extend(self) -> int:
        """Cover one more segment's worth of the log and return how many events that were."""
        with self._database.transaction() as connection:
            row = connection.execute(_SQL.lock).fetchone()
            if row is None or not row["locked"]:
                return 0
            segment, link, marks = self._open_segment(connection)
            room = SEGMENT_EVENTS - len(marks) // _MARK_BYTES
            position = segment.first_position + len(marks) // _MARK_BYTES - 1
            rows = self._recorder.log_rows(position, room)
            if rows and rows[-1][4] != position + len(rows):  # what comes after a gap is nothing to vouch for
                rows = [row for place, row in enumerate(rows, position + 1) if row[4] == place]
            for event in rows:
                link = next_link(link, event)
                marks += link[:_MARK_BYTES]
            if rows:
                connection.execute(
                    _SQL.write,
                    {
                        "number": segment.number,
                        "first_position": segment.first_position,
                        "last_position": rows[-1][4],
                        "head": link,
                        "marks": marks,
                    },
                )
        return len(rows)

    def head(self) -> ChainHead:
        """Cover the log as it is now and return what it comes to; up to a gap, if there is one."""
        end, looks = self._recorder.last_position(), _MAX_LOOKS
        while self.covered() < end and looks:
            if not self.extend():  # another process is at it, or there is a gap
                looks -= 1
                time.sleep(_LOOK_SECONDS)
        with self._database.connection() as connection:
            row = connection.execute(_SQL.last_segment).fetchone()
        return ChainHead(int(row["last_position"]), row["head"].hex()) if row else ChainHead(0, BEGINNING.hex())

    def covered(self) -> int:
        """Return the last position that the chain covers."""
        with self._database.connection() as connection:
            row = connection.execute(_SQL.last_segment).fetchone()
        return int(row["last_position"]) if row else 0

    def verify(self, heads: Sequence[ChainHead] = (), on_stage: OnStage = silent) -> ChainFault | None:
        """Walk the log and say where it first differs from the chain, or from heads exported earlier.

        Heads find what the chain beside the log cannot: that both were rewritten, or cut short. Memory is flat.
        """
        covered, end = self.covered(), self._recorder.last_position()
        walk = _Walk(self._segments(), covered, sorted(heads, key=lambda head: head.position))
        for place in self._places(end):
            fault = walk.take(place)
            if fault is not None:
                return fault
            if place.position % REPORT_EVENTS == 0:
                on_stage("chain: events", place.position, end)
        return walk.end()

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
        number = 0
        while rows := self._segment_rows(number):
            yield from (_Segment(**row) for row in rows)
            number = rows[-1]["number"]

    def _segment_rows(self, after: int) -> list[DictRow]:
        with self._database.connection() as connection:
            return connection.execute(_SQL.segments, {"after": after, "limit": _SEGMENTS_AT_ONCE}).fetchall()

    def _places(self, end: int) -> Iterator[_Place]:
        """Yield the log place by place, with tombstones where events have left."""
        position = 0
        while position < end:
            until = min(end, position + _PAGE)
            rows = self._recorder.log_rows(position, until - position)
            page = [_Place(row[4], digest(row), row) for row in rows if row[4] <= until]
            if len(page) < until - position:  # what is gone by now has its tombstone by now
                kept = self._tombstones.digests(position, until).items()
                page.extend(_Place(place, of_event) for place, of_event in kept)
                page.sort(key=lambda place: place.position)
            yield from page
            position = until


class _Walk:
    """Goes along the log with the chain beside it."""

    def __init__(self, segments: Iterator[_Segment], covered: int, heads: Sequence[ChainHead]) -> None:
        self._segments = segments
        self._covered = covered
        self._heads = list(heads)
        self._met = 0
        self._segment: _Segment | None = None
        self._tally = Tally()

    def take(self, place: _Place) -> ChainFault | None:
        """Take the next event and say what is wrong with it."""
        expected = self._tally.position + 1
        if place.position < expected:
            return ChainFault(place.position, f"{place.name} is there twice: in the log, or in an archive")
        if place.position > expected:
            return ChainFault(expected, f"the event is missing; the next one there has position {place.position}")
        self._tally.take_digest(place.position, place.digest)
        if expected <= self._covered:
            if self._segment is None or self._segment.last_position < expected:
                self._segment = next(self._segments, None)
            if self._segment is None or not self._segment.is_whole(expected):
                return ChainFault(expected, "the chain itself was changed: its segment is missing or damaged here")
            if not self._segment.fits(expected, self._tally.link):
                return ChainFault(expected, f"{place.name} is not what was recorded")
        while self._heads and self._heads[0].position <= expected:
            head = self._heads.pop(0)
            if head != self._tally.head and head.position > 0:
                met = f"an earlier head was met at position {self._met}" if self._met else "no earlier head was given"
                return ChainFault(
                    head.position, f"the log up to here does not come to the head that was exported; {met}"
                )
            self._met = head.position
        return None

    def end(self) -> ChainFault | None:
        """Say whether the log ended too early."""
        last = self._tally.position
        if self._covered > last:
            return ChainFault(last + 1, f"the log ends at position {last}, the chain goes on to {self._covered}")
        missed = [head for head in self._heads if head.position > last]
        if missed:
            return ChainFault(
                last + 1, f"the log ends at position {last}, a head was exported at {missed[-1].position}"
            )
        return None


class ChainKeeper:
    """A thread that keeps the chain close behind the log."""

    def __init__(self, chain: Chain, listener: Listener, on_restart: OnRestart = ignore) -> None:
        self._chain = chain
        self._wake = threading.Event()
        self._duty = DutyThread("chain", self._serve, on_restart)
        self._stopping = self._duty.stopping
        listener.on(EVENTS, lambda _: self._wake.set())

    def start(self) -> None:
        """Begin to follow the log."""
        self._wake.set()
        self._duty.start()

    def stop(self) -> None:
        """End after the segment under way."""
        self._stopping.set()
        self._wake.set()
        self._duty.stop()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait()
            self._wake.clear()
            with suppress(DatabaseUnavailable):
                while not self._stopping.is_set() and self._chain.extend() == SEGMENT_EVENTS:
                    pass
            self._stopping.wait(_PAUSE_SECONDS)  # many small appends become one extension
        with suppress(DatabaseUnavailable):
            self._chain.extend()
