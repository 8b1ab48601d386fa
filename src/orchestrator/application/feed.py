"""Notifies the watchers of runs about new events, with one query for all watchers, and only after an append.

    notification -> changed runs (one query, however many watchers) -> their watchers -> each reads its stream

An idle watcher is only an entry in a dict; it causes no queries.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from orchestrator.eventstore.log import PostgresLog
from orchestrator.postgres.database import Database
from orchestrator.postgres.listener import EVENTS, LOGS, PROGRESS, Listener, wake
from orchestrator.postgres.unavailable import DatabaseUnavailable
from orchestrator.projections.views.reader import Reader

# The shortest interval between two queries on a busy log; one query finds all appends of an interval.
_PAUSE_SECONDS = 0.02
_PROGRESS_PAUSE_SECONDS = 0.2

View = Mapping[str, Any]


class Watcher:
    """A watcher of one run."""

    __slots__ = ("_changed", "_feed", "_known", "_new", "_woken", "logs", "wants_progress")

    def __init__(self, feed: "Feed", *, logs: bool = False, wants_progress: bool = False) -> None:
        self.logs = logs
        self._feed = feed
        self._woken = asyncio.Event()
        self._changed = False
        self._known: dict[str, View] = {}
        self._new: dict[str, View] = {}
        self.wants_progress = wants_progress

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

    def progress(self) -> list[View]:
        """Return the progress of each step that has changed since the last call; see `progress_view`."""
        new, self._new = self._new, {}
        return list(new.values())

    def show_progress(self, reports: Iterable[View]) -> None:
        """Keep the progress that is new, and wake the watcher if there is any."""
        for report in reports:
            step = report["data"]["step"]
            if self._known.get(step) != report:
                self._known[step] = self._new[step] = report
        if self._new:
            self._woken.set()

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
        self._reported = False
        self._reading: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.closed = False
        listener.on(EVENTS, self._notified)
        listener.on(PROGRESS, self._progress_notified)
        listener.on(LOGS, self._logged)

    @asynccontextmanager
    async def watch(self, run_id: str, *, logs: bool = False, progress: bool = False) -> AsyncIterator[Watcher]:
        """Watch a run. Every event appended inside the `async with` block wakes the watcher.

        With `logs`, new lines in the logs of its steps wake it, too, and with `progress` what skills report.
        """
        watcher = Watcher(self, logs=logs, wants_progress=progress)
        self._loop = asyncio.get_running_loop()
        self._watchers.setdefault(run_id, set()).add(watcher)
        try:
            async with self._beginning:
                if self._position is None:
                    self._position = await self._database.call(self._log.last_position)
            if progress:
                self._read_progress()
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

    def _progress_notified(self, _payload: str) -> None:
        """Handle new progress, or possibly missed notifications. Runs on the listener's thread."""
        if self._watchers and not self._reported and self._loop is not None:
            wake(self._loop, self._read_progress)

    def _read_progress(self) -> None:
        self._reported = True
        if self._reading is None or self._reading.done():
            self._reading = asyncio.ensure_future(self._find_progress())

    async def _find_progress(self) -> None:
        """Read the progress of all runs whose watchers want it, with one query."""
        while self._reported:
            self._reported = False
            wanted = [run_id for run_id, watchers in self._watchers.items() if any(w.wants_progress for w in watchers)]
            if not wanted:
                break
            with suppress(DatabaseUnavailable):  # the next report is read again
                found = await self._database.call(self._reader.progress, wanted)
                for run_id, reports in found.items():
                    for watcher in self._watchers.get(run_id, ()):
                        if watcher.wants_progress:
                            watcher.show_progress(reports)
            await asyncio.sleep(_PROGRESS_PAUSE_SECONDS)

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
