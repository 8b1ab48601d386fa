"""The writer: group commit on the event loop. All waiting appends go into one transaction.

    append -> waiting -> [settle appends in doubt -> gather -> commit -> notify] ... until nothing waits

Only one task writes. If one stream of a batch conflicts, the batch is written stream by stream, and only the caller of
the conflicting append gets the error. If the response to a batch is lost, it is unknown whether the batch was
committed: its appends are in doubt, and the same task looks them up, with growing pauses until the database answers.
Events that are in the log with the same bytes are not written again. If others have appended after them, the caller
still gets a conflict: a worker must not start what another worker has completed by then. Only an append to a new
stream succeeds in this case, because its caller needs nothing but the new stream.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import copy_context
from time import perf_counter
from typing import Protocol
from uuid import UUID

from eventsourcing.persistence import IntegrityError, StoredEvent

from orchestrator.background.pauses import RETRIES, Backoff, Pauses, RareWarning
from orchestrator.domain.errors import VersionConflict
from orchestrator.eventstore.append import Append, Inline, OnWritten, gather, merged
from orchestrator.postgres.unavailable import DatabaseUnavailable, unavailable

logger = logging.getLogger(__name__)

OnCommit = Callable[[int, float], None]
"""Called after each batch with its number of events and the seconds it took."""

_ALONE_AFTER = 3
"""After this many failures in a row, appends in doubt are written one by one: one of them may cause the failure."""

_MAX_FAILURES = 20
"""An append that fails this often by itself, while others are written, is rejected."""

_CLOSED = "the log is closed"


class AppendSession(Protocol):
    """A connection to the log for one event loop; see `LogSession`."""

    async def insert(self, stored: Sequence[StoredEvent], inline: str | None) -> int:
        """Append events in one transaction and return the position of the first.

        Raises:
            IntegrityError: a version already exists, or an earlier one is missing; nothing was written.
            DatabaseUnavailable: the response was lost; whether the events were written is unknown.
        """

    async def read(self, stream_id: UUID, after_version: int) -> Sequence[tuple[StoredEvent, int]]:
        """Return the events of a stream after a version, each with its position; raises DatabaseUnavailable."""

    def close(self) -> None:
        """Close the connection; a pending call raises DatabaseUnavailable."""


class Writer:
    """Appends for the whole process on one event loop, that of the first append. Other loops submit appends to it.

    Args:
        open_session: opens a connection to the log.
        on_commit: called after each batch.
        backoff: the pauses while the database is unavailable.
        max_wait_seconds: how long an append may wait; None waits until the database is available.
    """

    def __init__(
        self,
        open_session: Callable[[], AppendSession],
        on_commit: OnCommit | None = None,
        backoff: Backoff = RETRIES,
        max_wait_seconds: float | None = None,
    ) -> None:
        self._open_session = open_session
        self._context = copy_context()  # not that of the first append: the task serves all appends
        self._on_commit = on_commit
        self._session: AppendSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._waiting: deque[Append] = deque()
        self._in_doubt: list[Append] = []
        self._sent: Sequence[Append] = ()
        self._closed = False
        self._max_wait_seconds = max_wait_seconds
        self._pauses = Pauses(backoff)
        self._last_error: DatabaseUnavailable | None = None
        self._warn = RareWarning(logger, "database unavailable, appends wait")
        self.batches = 0
        self.appended = 0

    async def append(
        self, stored: Sequence[StoredEvent], inline: Inline | None = None, on_written: OnWritten | None = None
    ) -> int:
        """Append events of one stream and return the position of the first, once it is on disk.

        Cancelling withdraws the append if it has not been sent.

        Raises:
            VersionConflict: another writer appended first and nothing was written, or it appended after this append
                while this one was in doubt.
            DatabaseUnavailable: the writer is closed, the append failed repeatedly, or it took longer than the
                maximum wait; the events may have been written.
        """
        if self._closed:
            raise DatabaseUnavailable(_CLOSED)
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            if self._loop is not None and self._loop.is_running():
                submitted = asyncio.run_coroutine_threadsafe(self.append(stored, inline, on_written), self._loop)
                return await asyncio.wrap_future(submitted)
            self._belong_to(loop)
        append = Append(stored, inline, loop.create_future(), on_written)
        self._waiting.append(append)
        if self._task is None:
            self._start(loop)
        if self._max_wait_seconds is None:
            return await append.waiter
        try:
            async with asyncio.timeout(self._max_wait_seconds):
                return await append.waiter
        except TimeoutError:
            if self._last_error is None:
                raise DatabaseUnavailable("the database does not answer") from None
            raise unavailable(self._last_error) from self._last_error

    @property
    def obstacle(self) -> DatabaseUnavailable | None:
        """The error because of which appends wait, or None if they do not."""
        return self._last_error if self._pauses.failures else None

    def close(self) -> None:
        """Close the connection; waiting appends raise DatabaseUnavailable."""
        self._closed = True
        if self._session is not None:
            self._session.close()
            self._session = None

    def _belong_to(self, loop: asyncio.AbstractEventLoop) -> None:
        """Write on this loop from now on: the previous loop has ended, and all callers that waited on it."""
        if self._session is not None:
            self._session.close()
        self._session, self._task = None, None
        self._waiting.clear()
        self._in_doubt.clear()
        self._loop = loop

    async def _serve(self) -> None:
        """Write until nothing waits. This is the only retry loop: every failure returns to its start."""
        pauses = self._pauses
        while self._in_doubt or self._waiting:
            try:
                failed = await self._settle(alone=pauses.failures >= _ALONE_AFTER)
                await self._commit(gather(self._waiting))
                if failed is not None:
                    raise failed
            except DatabaseUnavailable as error:
                self._mark_in_doubt(self._sent)
                if self._closed:
                    self._reject_all(DatabaseUnavailable(_CLOSED))
                    return
                self._warn(error)
                self._last_error = error
                await asyncio.sleep(pauses.next())
            else:
                pauses.reset()

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._task = loop.create_task(self._serve(), name="log writer", context=self._context)
        self._task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """Restart the task if more appends wait; reject appends if the loop is closing or the task failed on a bug."""
        if task is not self._task:
            return
        self._task = None
        if task.cancelled():
            self._mark_in_doubt(self._sent)
            self._reject_all(DatabaseUnavailable(_CLOSED))
        elif (error := task.exception()) is not None:
            logger.error("log writer failed, restarting", exc_info=error)
            self._mark_in_doubt(self._sent)
            for append in self._in_doubt:
                append.reject(DatabaseUnavailable(f"the log writer failed: {error!r}"))
        if self._in_doubt or self._waiting:
            self._start(task.get_loop())

    def _reject_all(self, error: Exception) -> None:
        waiting = [*self._in_doubt, *self._waiting]
        self._in_doubt.clear()
        self._waiting.clear()
        for append in waiting:
            append.reject(error)

    def _mark_in_doubt(self, sent: Sequence[Append]) -> None:
        """Mark sent appends as in doubt: the response to them was lost."""
        self._sent = ()
        known = set(map(id, self._in_doubt))
        for append in sent:
            append.in_doubt = True
            if id(append) not in known:
                self._in_doubt.append(append)

    async def _settle(self, *, alone: bool) -> DatabaseUnavailable | None:
        """Determine the outcome of the appends in doubt, and write those that are not in the log.

        Returns:
            Why some appends could not be written by themselves although the database answered; they stay in doubt.

        Raises:
            DatabaseUnavailable: the database does not answer; undecided appends stay in doubt.
        """
        for append in list(self._in_doubt):
            if append.waiter.done() or await self._find(append):
                self._in_doubt.remove(append)
        if not alone:
            missing, self._in_doubt = self._in_doubt, []
            await self._commit(missing)
            return None
        failed = None
        for append in list(self._in_doubt):
            try:
                await self._commit([append])
                self._in_doubt.remove(append)
            except DatabaseUnavailable as error:
                failed = error
                # While nothing can be written (a read-only server, say), the failure is not caused by this append.
                if self.batches > append.commits_seen or not error.answered:
                    append.failures += 1
                append.commits_seen = self.batches
                if append.failures >= _MAX_FAILURES:
                    append.reject(error)
        return failed

    async def _commit(self, batch: Sequence[Append]) -> None:
        """Append a batch in one transaction and notify its callers; append one by one if the database refuses it.

        Raises:
            DatabaseUnavailable: the response to the appends in `_sent` was lost.
        """
        if not batch:
            return
        self._sent = batch
        began = perf_counter()
        events = [event for append in batch for event in append.stored]
        try:
            position = await self._connected().insert(events, merged(append.inline for append in batch))
        except DatabaseUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - passed to the callers
            self._sent = ()
            if len(batch) > 1:
                await self._commit_each(batch)
            elif not isinstance(error, IntegrityError):
                batch[0].reject(error)
            elif not (batch[0].in_doubt and await self._find(batch[0])):
                batch[0].reject(VersionConflict(f"another writer has appended to stream {batch[0].stream_id}"))
            return
        self._sent = ()
        for append in batch:
            append.resolve(position)
            position += len(append.stored)
        self.batches += 1
        self.appended += len(events)
        if self._on_commit is not None:
            self._on_commit(len(events), perf_counter() - began)

    async def _commit_each(self, batch: Sequence[Append]) -> None:
        """Append a batch stream by stream; if the database becomes unavailable, the rest goes back to the queue."""
        left = deque(batch)
        try:
            while left:
                append = left.popleft()
                if not append.waiter.done():
                    await self._commit([append])
        finally:
            self._waiting.extendleft(reversed(left))

    async def _find(self, append: Append) -> bool:
        """Return whether the outcome of an append is known; if so, notify its caller.

        Raises:
            DatabaseUnavailable: the append stays in doubt.
        """
        self._sent = (append,)
        there = await self._connected().read(append.stream_id, append.first_version - 1)
        self._sent = ()
        if not there:
            return False
        wanted = [(event.topic, event.state) for event in append.stored]
        if [(event.topic, event.state) for event, _ in there[: len(wanted)]] != wanted:
            append.reject(VersionConflict(f"stream {append.stream_id} is past version {append.first_version - 1}"))
        elif append.first_version > 1 and len(there) > len(wanted):
            append.reject(VersionConflict(f"others have appended to stream {append.stream_id} after this append"))
        else:
            append.resolve(there[0][1])
        return True

    def _connected(self) -> AppendSession:
        if self._session is None:
            if self._closed:
                raise DatabaseUnavailable(_CLOSED)
            self._session = self._open_session()
        return self._session
