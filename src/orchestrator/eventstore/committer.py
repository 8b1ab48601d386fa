"""Group commit: whatever waits to be appended goes into one transaction, and everyone is told the outcome.

    append -> queue -> [drain] -> one call of the recorder -> outcomes -> the loops that wait

If one stream conflicts, the batch is written stream by stream and only that one is told. If the connection
is lost while an append is under way, nobody knows whether it was committed: the streams are read to find
out, and what is there with the same bytes is not written again. If others have gone on after it meanwhile,
its author is told of a conflict all the same: a worker must not begin what another one has completed by now.
Only who began the stream is told of success, for they wanted no more than that.
"""

import asyncio
import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any
from uuid import UUID

import orjson
from eventsourcing.persistence import IntegrityError, StoredEvent

from orchestrator.domain.errors import VersionConflict
from orchestrator.eventstore.database import DATABASE_AWAY
from orchestrator.eventstore.recorder import LogRecorder

logger = logging.getLogger(__name__)

Inline = Mapping[str, Sequence[Any]]
"""Rows for inline read models: `{what is to be done: [row, ...]}`; see the SQL function `apply_inline`."""

OnWritten = Callable[[int], None]
"""Called with the position of an append's first event once it is on disk: in the committer's thread, in order."""

Outcome = int | Exception

OnCommit = Callable[[int, float], None]
"""Called after each batch with its number of events and the seconds it took."""

_MOST_EVENTS = 4000
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0


@dataclass(slots=True, eq=False)
class Append:
    """One stream's share of a batch and whoever waits for it. `in_doubt`: it may have been written already."""

    stored: Sequence[StoredEvent]
    inline: Inline | None
    loop: asyncio.AbstractEventLoop
    waiter: "asyncio.Future[int]"
    on_written: OnWritten | None = None
    in_doubt: bool = False

    @property
    def stream_id(self) -> UUID:
        """The stream that is appended to."""
        stream_id = self.stored[0].originator_id
        return stream_id if isinstance(stream_id, UUID) else UUID(stream_id)


class Committer:
    """A thread that appends for the whole process."""

    def __init__(self, recorder: LogRecorder, on_commit: OnCommit | None = None) -> None:
        self._recorder = recorder
        self._on_commit = on_commit
        self._queue: SimpleQueue[Append | None] = SimpleQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="committer", daemon=True)
        self._thread.start()
        self.batches = 0
        self.appended = 0

    async def append(
        self, stored: Sequence[StoredEvent], inline: Inline | None = None, on_written: OnWritten | None = None
    ) -> int:
        """Append events of one stream and return the position of the first, once it is on disk.

        Cancelling withdraws the append if it has not been sent.

        Raises:
            VersionConflict: somebody else appended first; nothing was written. Or they did so after it, while the
                database was away and it was not known whether it was written.
            ConnectionError: the committer is closed.
        """
        if self._stopping.is_set():
            raise ConnectionError("the log is closed")
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[int] = loop.create_future()
        self._queue.put(Append(stored, inline, loop, waiter, on_written))
        return await waiter

    def close(self) -> None:
        """Write what is queued and end the thread. While the database is away, what is queued is given up."""
        self._stopping.set()
        self._queue.put(None)
        self._thread.join()

    def _serve(self) -> None:
        while (first := self._queue.get()) is not None:
            batch = self._drain(first)
            if batch:
                events = sum(len(append.stored) for append in batch)
                self.batches += 1
                self.appended += events
                began = time.perf_counter()
                outcomes = self._write(batch)
                self._deliver(batch, outcomes)
                for append, outcome in zip(batch, outcomes, strict=True):
                    if append.on_written is not None and isinstance(outcome, int):
                        append.on_written(outcome)
                if self._on_commit is not None:
                    self._on_commit(events, time.perf_counter() - began)

    def _drain(self, first: Append) -> list[Append]:
        batch = [first]
        events = len(first.stored)
        while events < _MOST_EVENTS:
            try:
                following = self._queue.get_nowait()
            except Empty:
                break
            if following is None:
                self._queue.put(None)
                break
            batch.append(following)
            events += len(following.stored)
        return [append for append in batch if not append.waiter.cancelled()]

    def _write(self, batch: Sequence[Append]) -> list[Outcome]:
        """Append a batch in one transaction and say of each append what became of it."""
        events = [event for append in batch for event in append.stored]
        try:
            position = self._recorder.insert_events(events, inline=merged(append.inline for append in batch))[0]
        except DATABASE_AWAY as error:
            return self._settle(batch, error)
        except IntegrityError:
            if len(batch) == 1:
                return [self._explain_conflict(batch[0])]
            return [outcome for append in batch for outcome in self._write([append])]
        except Exception as error:  # noqa: BLE001 - whoever waits for the append is told
            if len(batch) == 1:
                return [error]
            return [outcome for append in batch for outcome in self._write([append])]
        outcomes: list[Outcome] = []
        for append in batch:
            outcomes.append(position)
            position += len(append.stored)
        return outcomes

    def _settle(self, batch: Sequence[Append], error: Exception) -> list[Outcome]:
        """The answer was lost: find out what was written, and write the rest once the database answers again."""
        logger.warning("the database went away during an append of %d streams: %s", len(batch), error)
        for append in batch:
            append.in_doubt = True
        pause = _FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads out retries, guards nothing
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            self._recorder.mend()
            try:
                found = [self._find(append) for append in batch]
            except DATABASE_AWAY:
                continue
            missing = [append for append, outcome in zip(batch, found, strict=True) if outcome is None]
            written = iter(self._write(missing) if missing else ())
            return [next(written) if outcome is None else outcome for outcome in found]
        return [ConnectionError("the log was closed while the database was away") for _ in batch]

    def _explain_conflict(self, append: Append) -> Outcome:
        """A version is taken: by others, or by the append itself if an answer to it was lost."""
        found = None
        if append.in_doubt:
            try:
                found = self._find(append)
            except DATABASE_AWAY as error:
                return self._settle([append], error)[0]
        if found is None:
            return VersionConflict(f"stream {append.stream_id} was changed meanwhile")
        return found

    def _find(self, append: Append) -> Outcome | None:
        """Return the position of an append that is in the log, a conflict if others have gone on there, else None."""
        first = append.stored[0].originator_version
        there = self._recorder.read_stream(append.stream_id, first - 1)
        if not there:
            return None
        same = [(event.topic, event.state) for event in there[: len(append.stored)]]
        if same != [(event.topic, event.state) for event in append.stored]:
            return VersionConflict(f"stream {append.stream_id} is past version {first - 1}")
        if first > 1 and len(there) > len(same):
            return VersionConflict(f"others have gone on in stream {append.stream_id} while the database was away")
        return there[0].id

    @staticmethod
    def _deliver(batch: Sequence[Append], outcomes: Sequence[Outcome]) -> None:
        """Wake every loop once with all the outcomes that it waits for."""
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[int], Outcome]]] = {}
        for append, outcome in zip(batch, outcomes, strict=True):
            by_loop.setdefault(append.loop, []).append((append.waiter, outcome))
        for loop, answers in by_loop.items():
            try:
                loop.call_soon_threadsafe(_resolve, answers)
            except RuntimeError:  # the loop was closed: nobody waits any more
                logger.debug("an append was committed for a loop that is gone")


def _resolve(answers: Sequence[tuple["asyncio.Future[int]", Outcome]]) -> None:
    for waiter, outcome in answers:
        if waiter.done():
            continue
        if isinstance(outcome, Exception):
            waiter.set_exception(outcome)
        else:
            waiter.set_result(outcome)


def merged(parts: Iterable[Inline | None]) -> str | None:
    """Return the inline rows of a batch as one JSON text, or None when there are none."""
    merged: dict[str, list[Any]] = {}
    for part in parts:
        for name, rows in (part or {}).items():
            merged.setdefault(name, []).extend(rows)
    return orjson.dumps(merged).decode() if merged else None
