"""Group commit: whatever waits to be appended goes into one transaction, and everyone is told the outcome.

    append -> on the loop: send, answer -> outcomes                                    (`loop_writer`)
           -> queue -> thread: one call of the recorder -> outcomes -> the loops that wait

The loop writes by itself as long as all goes well. The thread has what did not go well, and what comes from other
loops. If one stream conflicts, the batch is written stream by stream and only that one is told. If the connection
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
from collections import deque
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue

from eventsourcing.persistence import IntegrityError, StoredEvent

from orchestrator.domain.errors import VersionConflict
from orchestrator.eventstore.append import (
    Append,
    Inline,
    OnWritten,
    Outcome,
    gather,
    merged,
    positions,
    tell,
    tell_here,
)
from orchestrator.eventstore.database import DATABASE_AWAY
from orchestrator.eventstore.loop_writer import LoopWriter
from orchestrator.eventstore.recorder import LogRecorder

logger = logging.getLogger(__name__)

OnCommit = Callable[[int, float], None]
"""Called after each batch with its number of events and the seconds it took."""

_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0

Failed = tuple[Sequence[Append], Exception]
"""A batch that was sent, and what came of it."""


class Committer:
    """Appends for the whole process. With `on_loop` the loop that asks first writes by itself."""

    def __init__(self, recorder: LogRecorder, on_commit: OnCommit | None = None, *, on_loop: bool = False) -> None:
        self._recorder = recorder
        self._on_commit = on_commit
        self._queue: SimpleQueue[Append | Failed | None] = SimpleQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="committer", daemon=True)
        self._thread.start()
        self._on_loop = LoopWriter(recorder, self._written_on_loop, self._leave) if on_loop else None
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
        append = Append(stored, inline, loop, waiter, on_written)
        if self._on_loop is None or not self._on_loop.take(append):
            self._queue.put(append)
        return await waiter

    def close(self) -> None:
        """Write what is queued and end the thread. While the database is away, what is queued is given up."""
        self._stopping.set()
        if self._on_loop is not None:
            self._on_loop.close()
        self._queue.put(None)
        self._thread.join()

    def _written_on_loop(self, batch: Sequence[Append], outcomes: Sequence[Outcome], seconds: float) -> None:
        self._count(batch)
        tell_here(batch, outcomes)
        self._note(batch, outcomes, seconds)

    def _leave(self, batch: Sequence[Append], error: Exception | None) -> None:
        """Let the thread see to a batch."""
        if error is not None:
            self._queue.put((batch, error))
        else:
            for append in batch:
                self._queue.put(append)

    def _serve(self) -> None:
        while (first := self._queue.get()) is not None:
            waiting, failed = self._drain(first)
            while waiting:
                if batch := gather(waiting):
                    self._settle_and_tell(batch, None)
            for sent, error in failed:
                self._settle_and_tell(sent, error)

    def _drain(self, first: Append | Failed) -> tuple[deque[Append], list[Failed]]:
        """Take what is in the queue."""
        waiting: deque[Append] = deque()
        failed: list[Failed] = []
        following: Append | Failed | None = first
        while following is not None:
            if isinstance(following, Append):
                waiting.append(following)
            else:
                failed.append(following)
            try:
                following = self._queue.get_nowait()
            except Empty:
                return waiting, failed
        self._queue.put(None)
        return waiting, failed

    def _settle_and_tell(self, batch: Sequence[Append], error: Exception | None) -> None:
        self._count(batch)
        began = time.perf_counter()
        outcomes = self._write(batch) if error is None else self._recover(batch, error)
        tell(batch, outcomes)
        self._note(batch, outcomes, time.perf_counter() - began)

    def _count(self, batch: Sequence[Append]) -> None:
        self.batches += 1
        self.appended += sum(len(append.stored) for append in batch)

    def _note(self, batch: Sequence[Append], outcomes: Sequence[Outcome], seconds: float) -> None:
        for append, outcome in zip(batch, outcomes, strict=True):
            if append.on_written is not None and isinstance(outcome, int):
                append.on_written(outcome)
        if self._on_commit is not None:
            self._on_commit(sum(len(append.stored) for append in batch), seconds)

    def _write(self, batch: Sequence[Append]) -> list[Outcome]:
        """Append a batch in one transaction and say of each append what became of it."""
        events = [event for append in batch for event in append.stored]
        try:
            first = self._recorder.insert_events(events, inline=merged(append.inline for append in batch))[0]
        except Exception as error:  # noqa: BLE001 - whoever waits for the append is told
            return self._recover(batch, error)
        return positions(batch, first)

    def _recover(self, batch: Sequence[Append], error: Exception) -> list[Outcome]:
        """Say what became of each append of a batch that was not written, as far as one knows."""
        if isinstance(error, DATABASE_AWAY):
            return self._settle(batch, error)
        if len(batch) > 1:
            return [outcome for append in batch for outcome in self._write([append])]
        return [self._explain_conflict(batch[0]) if isinstance(error, IntegrityError) else error]

    def _settle(self, batch: Sequence[Append], error: Exception) -> list[Outcome]:
        """The answer was lost: find out what was written, and write the rest once the database answers again."""
        logger.warning("the database went away during an append of %d streams: %s", len(batch), error)
        for append in batch:
            append.in_doubt = True
        pause = _FIRST_PAUSE_SECONDS
        while True:
            time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads out retries, guards nothing
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            self._recorder.mend()
            try:
                found = [self._find(append) for append in batch]
            except DATABASE_AWAY:
                if self._stopping.is_set():
                    return [ConnectionError("the log was closed while the database was away") for _ in batch]
                continue
            missing = [append for append, outcome in zip(batch, found, strict=True) if outcome is None]
            written = iter(self._write(missing) if missing else ())
            return [next(written) if outcome is None else outcome for outcome in found]

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
