"""The hash chain over the log. It detects any later change to the events it covers, and where.

    link(n) = SHA-256(link(n - 1) + digest(n)),  link(0) = 32 zero bytes
    digest(n) = SHA-256(position, stream, version, name, state); name and state are preceded by their length

The chain is computed after the events are written, segment by segment. A log that was changed, shortened or reordered
before an exported head (position and link, optionally signed) can no longer produce that head.
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
    """The chain value of the whole log up to a position; `link` is a SHA-256 in hex."""

    position: int
    link: str


@dataclass(frozen=True, slots=True)
class ChainFault:
    """The first position at which the log does not match the chain, and what is wrong there."""

    position: int
    message: str


@dataclass(frozen=True, slots=True)
class _Segment:
    number: int
    first_position: int
    last_position: int
    head: bytes
    marks: bytes

    def is_complete(self, position: int) -> bool:
        """Return whether the segment covers a position, and has a mark for every event that it covers."""
        events = self.last_position - self.first_position + 1
        return self.first_position <= position <= self.last_position and len(self.marks) == events * _MARK_BYTES

    def fits(self, position: int, link: bytes) -> bool:
        """Return whether the chain has this link at a position.

        Only the first bytes of the link are compared, except at the end of the segment, where the full link is.
        """
        start = (position - self.first_position) * _MARK_BYTES
        marked = self.marks[start : start + _MARK_BYTES] == link[:_MARK_BYTES]
        return marked and (position < self.last_position or self.head == link)


def digest(row: EventRow) -> bytes:
    """Return the SHA-256 of an event and its place in the log, which covers everything that could be changed."""
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
    """Return the link of an event, given the link of the event before it."""
    return hashlib.sha256(link + digest(row)).digest()


@dataclass(slots=True)
class Tally:
    """A running chain over events: their number, the position of the last one, and its link."""

    events: int = 0
    position: int = 0
    link: bytes = BEGINNING

    def take(self, row: EventRow) -> None:
        """Add an event."""
        self.take_digest(row[4], digest(row))

    def take_digest(self, position: int, of_event: bytes) -> None:
        """Add an event by its digest."""
        self.link = hashlib.sha256(self.link + of_event).digest()
        self.position = position
        self.events += 1

    @property
    def head(self) -> ChainHead:
        """The chain head of exactly these events."""
        return ChainHead(self.position, self.link.hex())

    @property
    def is_beginning(self) -> bool:
        """Whether these are the first events of a log, without gaps."""
        return self.events == self.position


@dataclass(frozen=True, slots=True)
class _Place:
    """A position in the log: the digest of its event, and the event itself unless it was archived."""

    position: int
    digest: bytes
    row: EventRow | None = None

    @property
    def name(self) -> str:
        """The name of the event in messages."""
        return "the archived event" if self.row is None else f"{self.row[2]} of stream {self.row[0]}"


class Chain:
    """Extends the chain, and verifies the log against it. Synchronous."""

    def __init__(self, database: Database, recorder: LogRecorder) -> None:
        self._database = database
        self._recorder = recorder
        self._tombstones = Tombstones(database)

    def extend(self) -> int:
        """Extend the chain up to the end of the current segment, and return the number of events added."""
        with self._database.transaction() as connection:
            row = connection.execute(_SQL.lock).fetchone()
            if row is None or not row["locked"]:
                return 0
            segment, link, marks = self._open_segment(connection)
            room = SEGMENT_EVENTS - len(marks) // _MARK_BYTES
            position = segment.first_position + len(marks) // _MARK_BYTES - 1
            rows = self._recorder.log_rows(position, room)
            if rows and rows[-1][4] != position + len(rows):  # stop before a gap
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
        """Extend the chain to the current end of the log, or to the first gap, and return its head."""
        end, looks = self._recorder.last_position(), _MAX_LOOKS
        while self.covered() < end and looks:
            if not self.extend():  # another process is extending it, or there is a gap
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
        """Return the first position at which the log differs from the chain or from heads exported earlier, if any.

        Only heads can detect that the log and its chain were both rewritten or truncated. Memory use is constant.
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
        """Return the segment to write to, with its link and marks so far."""
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
        """Yield each position of the log, with the digest from the tombstone if the event was archived."""
        position = 0
        while position < end:
            until = min(end, position + _PAGE)
            rows = self._recorder.log_rows(position, until - position)
            page = [_Place(row[4], digest(row), row) for row in rows if row[4] <= until]
            if len(page) < until - position:  # events that are gone already have a tombstone
                kept = self._tombstones.digests(position, until).items()
                page.extend(_Place(place, of_event) for place, of_event in kept)
                page.sort(key=lambda place: place.position)
            yield from page
            position = until


class _Walk:
    """Walks the log and compares it with the chain."""

    def __init__(self, segments: Iterator[_Segment], covered: int, heads: Sequence[ChainHead]) -> None:
        self._segments = segments
        self._covered = covered
        self._heads = list(heads)
        self._matched_position = 0
        self._segment: _Segment | None = None
        self._tally = Tally()

    def take(self, place: _Place) -> ChainFault | None:
        """Check the next event, and return what is wrong, if anything."""
        expected = self._tally.position + 1
        if place.position < expected:
            return ChainFault(place.position, f"{place.name} exists twice, in the log or in an archive")
        if place.position > expected:
            return ChainFault(expected, f"the event is missing; the next event has position {place.position}")
        self._tally.take_digest(place.position, place.digest)
        if expected <= self._covered:
            if self._segment is None or self._segment.last_position < expected:
                self._segment = next(self._segments, None)
            if self._segment is None or not self._segment.is_complete(expected):
                return ChainFault(expected, "the chain itself was changed: its segment here is missing or damaged")
            if not self._segment.fits(expected, self._tally.link):
                return ChainFault(expected, f"{place.name} differs from what was recorded")
        while self._heads and self._heads[0].position <= expected:
            head = self._heads.pop(0)
            if head != self._tally.head and head.position > 0:
                matched = (
                    f"the head at position {self._matched_position} matches"
                    if self._matched_position
                    else "no earlier head was given"
                )
                return ChainFault(head.position, f"the log up to here does not match the exported head; {matched}")
            self._matched_position = head.position
        return None

    def end(self) -> ChainFault | None:
        """Return a fault if the log ends too early."""
        last = self._tally.position
        if self._covered > last:
            return ChainFault(last + 1, f"the log ends at position {last}, but the chain covers {self._covered}")
        missed = [head for head in self._heads if head.position > last]
        if missed:
            return ChainFault(
                last + 1, f"the log ends at position {last}, but a head was exported at {missed[-1].position}"
            )
        return None


class ChainKeeper:
    """A thread that extends the chain as the log grows."""

    def __init__(self, chain: Chain, listener: Listener, on_restart: OnRestart = ignore) -> None:
        self._chain = chain
        self._wake = threading.Event()
        self._duty = DutyThread("chain", self._serve, on_restart)
        self._stopping = self._duty.stopping
        listener.on(EVENTS, lambda _: self._wake.set())

    def start(self) -> None:
        """Start to follow the log."""
        self._wake.set()
        self._duty.start()

    def stop(self) -> None:
        """Stop after the current segment."""
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
            self._stopping.wait(_PAUSE_SECONDS)  # batch many small appends into one extension
        with suppress(DatabaseUnavailable):
            self._chain.extend()
