"""Notifies the watchers of runs about new events, with one query for all watchers, and only after an append.

    notification -> changed runs (one query, however many watchers) -> their watchers -> each reads its stream

An idle watcher is only an entry in a dict; it causes no queries.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from orchestrator.eventstore.log import PostgresLog
from orchestrator.postgres.database import Database
from orchestrator.postgres.listener import EVENTS, LOGS, Listener, wake
from orchestrator.projections.views.reader import Reader

# The shortest interval between two queries on a busy log; one query finds all appends of an interval.
_PAUSE_SECONDS = 0.02


class Watcher:
    """A watcher of one run."""

    __slots__ = ("_changed", "_feed", "_woken", "logs")

    def __init__(self, feed: "Feed", *, logs: bool = False) -> None:
        self.logs = logs
        self._feed = feed
        self._woken = asyncio.Event()
        self._changed = False

    async def changed(self, seconds: float) -> bool:
        """Wait up to `seconds` for new events, and return whether the run has some since the last call.

        It returns early when API keys have changed, because the watcher's own key may be among them.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return False
        self._woken.clear()
        changed, self._changed = self._changed, False
        return changed

    @property
    def closed(self) -> bool:
        """Whether the feed is closed. A closed feed sends no more notifications."""
        return self._feed.closed

    def wake(self) -> None:
        """Wake the watcher to look for new events."""
        self._changed = True
        self._woken.set()

    def nudge(self) -> None:
        """Wake the watcher to check its permission again."""
        self._woken.set()


class Feed:
    """Wakes the watchers of runs that have new events. Belongs to one event loop."""

    def __init__(self, database: Database, reader: Reader, log: PostgresLog, listener: Listener) -> None:
        self._database = database
        self._reader = reader
        self._log = log
        self._watchers: dict[str, set[Watcher]] = {}
        self._position: int | None = None
        self._beginning = asyncio.Lock()
        self._appended = False
        self._looking: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.closed = False
        listener.on(EVENTS, self._notified)
        listener.on(LOGS, self._logged)

    @asynccontextmanager
    async def watch(self, run_id: str, *, logs: bool = False) -> AsyncIterator[Watcher]:
        """Watch a run. Every event appended inside the `async with` block wakes the watcher.

        With `logs`, new lines in the logs of its steps wake it, too.
        """
        watcher = Watcher(self, logs=logs)
        self._loop = asyncio.get_running_loop()
        self._watchers.setdefault(run_id, set()).add(watcher)
        try:
            async with self._beginning:
                if self._position is None:
                    self._position = await self._database.call(self._log.last_position)
            yield watcher
        finally:
            watchers = self._watchers[run_id]
            watchers.discard(watcher)
            if not watchers:
                del self._watchers[run_id]
            if not self._watchers:
                self._position = None  # no watchers are left; the next one starts at the end of the log

    @property
    def watched(self) -> int:
        """The number of watchers."""
        return sum(len(watchers) for watchers in self._watchers.values())

    def close(self) -> None:
        """End every stream, because the server stops."""
        self.closed = True
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.wake()

    def keys_changed(self, _payload: str) -> None:
        """Handle a changed API key, or possibly missed notifications. Runs on the listener's thread."""
        if self._watchers and self._loop is not None:
            wake(self._loop, self._nudge)

    def _nudge(self) -> None:
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.nudge()

    def _notified(self, _payload: str) -> None:
        """Handle an append, or possibly missed notifications. Runs on the listener's thread."""
        if self._watchers and not self._appended and self._loop is not None:
            self._appended = True
            wake(self._loop, self._look)

    def _logged(self, run_id: str) -> None:
        """Handle new lines of a run's logs, or possibly missed notifications. Runs on the listener's thread."""
        if self._watchers and self._loop is not None:
            wake(self._loop, self._wake_logs, run_id)

    def _wake_logs(self, run_id: str) -> None:
        found = [self._watchers.get(run_id, ())] if run_id else self._watchers.values()
        for watchers in found:
            for watcher in watchers:
                if watcher.logs:
                    watcher.wake()

    def _look(self) -> None:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.ensure_future(self._find_touched())

    async def _find_touched(self) -> None:
        while self._appended:
            self._appended = False
            if self._position is None:
                break  # a new watcher reads its stream after this anyway
            self._position, touched = await self._database.ask(
                self._reader.touched_since, self._position, list(self._watchers)
            )
            for run_id in touched:
                for watcher in self._watchers.get(run_id, ()):
                    watcher.wake()
            await asyncio.sleep(_PAUSE_SECONDS)
