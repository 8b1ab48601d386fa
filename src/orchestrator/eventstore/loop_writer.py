"""The quick way to a commit: what a loop appends is sent by the loop, and it waits for the answer itself.

    take -> [gather -> send -> answer -> outcomes] ... until nothing waits

It knows success only. Whatever else happens to a batch is left to the committer's thread, which finds out what became
of it; and so is everything for a while after the connection was lost.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import Context

from eventsourcing.persistence import OperationalError

from orchestrator.eventstore.append import Append, Outcome, gather, merged, positions
from orchestrator.eventstore.database import DATABASE_AWAY
from orchestrator.eventstore.loop_session import LoopSession
from orchestrator.eventstore.recorder import LogRecorder

_AGAIN_SECONDS = 1.0

Leave = Callable[[Sequence[Append], Exception | None], None]
"""Called with appends that somebody else is to see to; with the error when they were sent already."""

Written = Callable[[Sequence[Append], Sequence[Outcome], float], None]
"""Called with a batch, where it went and the seconds it took."""


class LoopWriter:
    """Writes the appends of one loop at a time: of the first one that asks, for as long as that is open."""

    def __init__(self, recorder: LogRecorder, on_written: Written, leave: Leave) -> None:
        self._recorder = recorder
        self._on_written = on_written
        self._leave = leave
        self._adopting = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._session: LoopSession | None = None
        self._waiting: deque[Append] = deque()
        self._sent: Sequence[Append] = ()
        self._task: asyncio.Task[None] | None = None
        self._again_at = 0.0

    def take(self, append: Append) -> bool:
        """Take an append on, if it is of the loop that is served here. Called on the append's loop."""
        if append.loop is not self._loop and not self._adopt(append.loop):
            return False
        session = self._session
        if session is None or time.monotonic() < self._again_at:
            return False
        self._waiting.append(append)
        if self._task is None:
            # In a context of its own: it goes on for others than who happened to be the first.
            self._task = append.loop.create_task(self._write_all(session), context=Context())
        return True

    def close(self) -> None:
        """Leave everything, what is under way too, to others. On the loop's thread, or once the loop has stopped."""
        self._again_at = float("inf")
        self._give_up(OperationalError("the connection was closed"))
        if self._session is not None:
            self._session.close()

    def _adopt(self, loop: asyncio.AbstractEventLoop) -> bool:
        with self._adopting:
            if self._loop is None or self._loop.is_closed():
                self._task = None
                self._give_up(OperationalError("the loop was closed"))
                if self._session is not None:
                    self._session.close()
                self._loop, self._session = loop, self._recorder.open_session()
        return self._loop is loop

    async def _write_all(self, session: LoopSession) -> None:
        try:
            while self._waiting:
                self._sent = gather(self._waiting)
                if self._sent:
                    await self._write(session, self._sent)
        finally:
            if session is self._session:  # else another loop is served by now
                self._task = None
                self._give_up(OperationalError("the loop has ended"))

    async def _write(self, session: LoopSession, batch: Sequence[Append]) -> None:
        events = [event for append in batch for event in append.stored]
        began = time.perf_counter()
        try:
            first = await self._recorder.insert(session, events, merged(append.inline for append in batch))
        except Exception as error:  # noqa: BLE001 - the thread tells whoever waits
            if isinstance(error, DATABASE_AWAY):
                self._again_at = max(self._again_at, time.monotonic() + _AGAIN_SECONDS)
            self._give_up(error)
        else:
            self._sent = ()
            self._on_written(batch, positions(batch, first), time.perf_counter() - began)

    def _give_up(self, error: Exception) -> None:
        """Leave what was sent, and what waits unless only what was sent is at fault."""
        sent, self._sent = self._sent, ()
        if sent:
            self._leave(sent, error)
        if self._task is None or isinstance(error, DATABASE_AWAY):
            waiting, self._waiting = self._waiting, deque()
            if waiting:
                self._leave(waiting, None)
