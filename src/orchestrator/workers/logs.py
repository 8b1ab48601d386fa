"""The logs of attempts, written while they execute.

    StepLog of each attempt -> every second: compressed chunks -> artifact store -> one row a chunk -> notification

A log is no part of the event log. Writing has its own thread, so that neither a slow store nor a blocked event loop
holds up the other. A store or database that is unavailable is tried again every second; until then lines are kept
in memory up to a limit, and then counted and dropped.
"""

import gzip
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import groupby, islice
from operator import itemgetter
from time import monotonic
from typing import Protocol

import orjson

from orchestrator.background.duty import DutyThread, OnRestart, ignore
from orchestrator.background.pauses import RareWarning
from orchestrator.domain.output import Artifact
from orchestrator.postgres.database import Database
from orchestrator.postgres.sql import load_sql
from orchestrator.skills.call import SkillCall
from orchestrator.skills.logs import LogLine, LogMemory, LogStream, StepLog
from orchestrator.skills.masking import mask

logger = logging.getLogger(__name__)

CHUNK_TYPE = "application/gzip"

_SQL = load_sql(__file__)
_FLUSH_SECONDS = 1.0
_RETRY_SECONDS = 0.1  # while the worker stops
_STALLED_SECONDS = 1.0
"""A thread that prints too fast waits for the writer, unless the writer has stored nothing for this long."""
_CHUNK_LINES = 8192
_CHUNK_BYTES = 1 << 20
_ROWS = 64
_AT, _STREAM = itemgetter(0), itemgetter(1)

OnPrinted = Callable[[SkillCall, LogStream, str], None]
"""Called with the call, the stream and the text of each line that a skill prints."""


class ChunkStore(Protocol):
    """The artifact store, as the writer needs it."""

    def put_bytes(self, tenant: str, data: bytes, *, type: str) -> Artifact:  # noqa: A002 - the word of the domain
        """Store bytes as an artifact."""
        ...


class LogCounts(Protocol):
    """Counts what is written; see the metrics."""

    def log_written(self, lines: int, size: int) -> None:
        """Count stored lines, and the bytes of their text."""

    def log_cut(self, lines: int) -> None:
        """Count lines that were cut or dropped."""

    def log_failed(self) -> None:
        """Count a failure to write."""


@dataclass(slots=True)
class _Chunk:
    part: int
    lines: int
    size: int
    first_at: int
    last_at: int
    cut: int
    content: bytes
    stored: Artifact | None = None


@dataclass(slots=True)
class _Attempt:
    """The log of an attempt, and those of its chunks that are not written yet."""

    call: SkillCall
    log: StepLog
    chunks: list[_Chunk] = field(default_factory=list)
    parts: int = 0
    reserved: int = 0
    told_cut: int = 0


class LogWriter:
    """Writes the logs of the attempts of a worker. Thread-safe. It costs nothing until a skill prints something.

    Args:
        database: where the rows are written.
        store: where the lines are stored.
        max_bytes: how many bytes of text the log of an attempt keeps; 0 keeps no logs.
        counts: counts what is written.
        on_printed: called for each printed line, in the thread that prints it.
        on_restart: called when the thread failed and is restarted.
    """

    def __init__(
        self,
        database: Database,
        store: ChunkStore,
        *,
        max_bytes: int,
        counts: LogCounts,
        on_printed: OnPrinted | None = None,
        on_restart: OnRestart = ignore,
    ) -> None:
        self._database = database
        self._store = store
        self._max_bytes = max_bytes
        self._counts = counts
        self._on_printed = on_printed
        self._on_news, self._may_wait = self._notice, self._is_writing  # made once, not for every attempt
        self._memory = LogMemory()
        self._lock = threading.Lock()
        self._attempts: dict[int, _Attempt] = {}
        self._news = threading.Event()
        self._urgent = threading.Event()
        self._duty = DutyThread("log writer", self._work, on_restart)
        self._begun = False
        self._stopping = False
        self._deadline = 0.0
        self._progressed = monotonic()
        self._failing = False
        self._warn = RareWarning(logger, "logs of steps not written, retrying")

    def open(self, call: SkillCall) -> StepLog | None:
        """Return a log for an attempt, or None if no logs are kept. The caller closes it when the attempt has ended."""
        if not self._max_bytes:
            return None
        on_line = None if self._on_printed is None else partial(self._on_printed, call)
        return StepLog(
            self._max_bytes,
            self._memory,
            self._on_news,
            may_wait=self._may_wait,
            on_line=on_line,
            mask=mask,
            call=call,
        )

    def close(self, seconds: float) -> None:
        """Write what is left, for up to `seconds`, and stop."""
        self._deadline = monotonic() + seconds
        self._stopping = True
        self._news.set()
        self._urgent.set()
        if self._begun:
            self._duty.stop(seconds)
        left = sum(map(_is_unwritten, self._attempts.values()))
        if left:
            logger.warning("logs of steps not written, lost", extra={"attempts": left})

    def _notice(self, log: StepLog, urgent: bool) -> None:
        """Handle news of a log. An attempt that never prints anything is never registered."""
        if id(log) not in self._attempts:
            if log.call is None or not log.has_lines:
                return
            with self._lock:
                self._attempts.setdefault(id(log), _Attempt(log.call, log))
                if not self._begun:
                    self._begun = True
                    self._duty.start()
        if not self._news.is_set():
            self._progressed = monotonic()
            self._news.set()
        if urgent:
            self._urgent.set()

    def _is_writing(self) -> bool:
        return not self._failing and not self._stopping and monotonic() - self._progressed < _STALLED_SECONDS

    def _work(self) -> None:
        while True:
            self._news.wait()
            if self._failing:
                self._duty.stopping.wait(_FLUSH_SECONDS)
            else:
                self._urgent.wait(_FLUSH_SECONDS)
            stopping = self._stopping
            self._urgent.clear()
            self._news.clear()
            try:
                self._flush()
                self._failing = False
            except Exception as error:  # noqa: BLE001 - stores and drivers raise errors of many types; tried again
                self._failing = True
                self._counts.log_failed()
                self._warn(error)
                self._news.set()
            if stopping:
                if monotonic() > self._deadline or not any(map(_is_unwritten, self._attempts.values())):
                    return
                self._news.set()
                time.sleep(_RETRY_SECONDS)

    def _flush(self) -> None:
        """Write everything that the logs hold now."""
        with self._lock:
            attempts = list(self._attempts.items())
        waiting: list[tuple[_Attempt, _Chunk]] = []
        for key, attempt in attempts:
            if not attempt.chunks:
                _fill(attempt)
            for chunk in attempt.chunks:
                if chunk.stored is None:
                    chunk.stored = self._store.put_bytes(attempt.call.tenant, chunk.content, type=CHUNK_TYPE)
                waiting.append((attempt, chunk))
                if len(waiting) >= _ROWS:
                    self._record(waiting)
                    waiting.clear()
                self._progressed = monotonic()
            self._count_cut(attempt)
            if not attempt.chunks:
                self._drop(key, attempt)
        if waiting:
            self._record(waiting)
        for key, attempt in attempts:
            self._drop(key, attempt)

    def _record(self, waiting: Sequence[tuple[_Attempt, _Chunk]]) -> None:
        """Write the rows of stored chunks, in one transaction."""
        rows = [(attempt, chunk, chunk.stored) for attempt, chunk in waiting if chunk.stored is not None]
        run_ids = [attempt.call.run_id for attempt, _, _ in rows]
        given = {
            "run_ids": run_ids,
            "tenants": [attempt.call.tenant for attempt, _, _ in rows],
            "steps": [attempt.call.step_id for attempt, _, _ in rows],
            "attempts": [attempt.call.attempt for attempt, _, _ in rows],
            "parts": [chunk.part for _, chunk, _ in rows],
            "lines": [chunk.lines for _, chunk, _ in rows],
            "bytes": [chunk.size for _, chunk, _ in rows],
            "size_bytes": [stored.size_bytes for _, _, stored in rows],
            "content_hashes": [stored.content_hash for _, _, stored in rows],
            "uris": [stored.uri for _, _, stored in rows],
            "first_ats": [chunk.first_at for _, chunk, _ in rows],
            "last_ats": [chunk.last_at for _, chunk, _ in rows],
            "cuts": [chunk.cut for _, chunk, _ in rows],
        }
        with self._database.transaction() as connection:
            connection.execute(_SQL.hold, {"run_ids": sorted(set(run_ids))})
            connection.execute(_SQL.write, given)
        self._progressed = monotonic()
        for attempt, chunk, _ in rows:
            attempt.chunks.remove(chunk)
            self._counts.log_written(chunk.lines, chunk.size)
            if not attempt.chunks:
                self._memory.release(attempt.reserved)
                attempt.reserved = 0

    def _count_cut(self, attempt: _Attempt) -> None:
        cut = attempt.log.cut
        if cut > attempt.told_cut:
            self._counts.log_cut(cut - attempt.told_cut)
            attempt.told_cut = cut

    def _drop(self, key: int, attempt: _Attempt) -> None:
        """Forget an attempt that has ended and is written; wait for more of one that has more lines by now."""
        has_ended = attempt.log.is_closed  # first: an open log may get more lines
        if attempt.log.has_lines or attempt.chunks:
            self._news.set()
            if has_ended:
                self._urgent.set()
        elif has_ended:
            with self._lock:
                self._attempts.pop(key, None)


def _is_unwritten(attempt: _Attempt) -> bool:
    return bool(attempt.chunks) or attempt.log.has_lines


def _fill(attempt: _Attempt) -> None:
    """Take the lines of an attempt, and make chunks of them."""
    lines, attempt.reserved = attempt.log.take()
    remaining = iter(lines)
    while batch := list(islice(remaining, _CHUNK_LINES)):
        for part in _bounded(batch):
            attempt.parts += 1
            content, size = encoded(part)
            attempt.chunks.append(
                _Chunk(attempt.parts, len(part), size, part[0][0], part[-1][0], attempt.log.cut, content)
            )


def _bounded(lines: list[LogLine]) -> list[list[LogLine]]:
    """Divide lines into parts with up to 1 Mi characters of text each."""
    if sum(len(text) for _, _, text in lines) <= _CHUNK_BYTES or len(lines) == 1:
        return [lines]
    middle = len(lines) // 2
    return _bounded(lines[:middle]) + _bounded(lines[middle:])


def encoded(lines: Sequence[LogLine]) -> tuple[bytes, int]:
    """Return lines as compressed JSON lines `{at, stream, text}`, and the size of their text in bytes."""
    pieces: list[bytes] = []
    size = 0
    for at, same_time in groupby(lines, _AT):  # many lines share a millisecond
        for stream, group in groupby(same_time, _STREAM):
            size += _encode(at, stream, [text for _, _, text in group], pieces)
    return gzip.compress(b"".join(pieces), 1, mtime=0), size


def _encode(at: int, stream: str, texts: Sequence[str], pieces: list[bytes]) -> int:
    """Add lines with the same time and stream to `pieces`, and return the size of their text in bytes."""
    moment = datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    begin = b'{"at":"%b","stream":"%b","text":' % (moment.encode(), stream.encode())
    quoted = orjson.dumps(texts)
    if b'\\"' in quoted:
        pieces += [b"%b%b}\n" % (begin, orjson.dumps(text)) for text in texts]
    else:  # then `","` stands only between two texts
        pieces.append(begin + quoted[1:-1].replace(b'","', b'"}\n%b"' % begin) + b"}\n")
    return len(quoted) - 1 - 2 * len(texts)
