"""The progress that skills report while they execute, shown to clients that watch the run.

    ctx.progress (any thread) -> the latest report of each step -> one statement, at most twice a second

Nothing is written while no skill reports anything. Progress is not an event and is not in the log.
"""

import asyncio
import logging
import threading
from dataclasses import dataclass

from orchestrator.postgres.database import Database
from orchestrator.postgres.sql import load_sql
from orchestrator.postgres.unavailable import DatabaseUnavailable
from orchestrator.skills.call import SkillCall
from orchestrator.skills.errors import readable

logger = logging.getLogger(__name__)

_SQL = load_sql(__file__)
_PAUSE_SECONDS = 0.5
_MESSAGE_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class _Report:
    attempt: int
    fraction: float
    message: str


class ProgressWriter:
    """Writes progress to the database. It belongs to one event loop; `report` may be called from any thread."""

    def __init__(self, database: Database, loop: asyncio.AbstractEventLoop) -> None:
        self._database = database
        self._loop = loop
        self._lock = threading.Lock()
        self._latest: dict[tuple[str, str], _Report] = {}
        self._writing: asyncio.Task[None] | None = None
        self._begun = False
        self._closed = False

    def report(self, call: SkillCall, fraction: float, message: str) -> None:
        """Record the progress of an attempt, a fraction from 0 to 1 and a message; the latest report wins."""
        report = _Report(call.attempt, fraction, readable(message, _MESSAGE_CHARACTERS))
        with self._lock:
            self._latest[call.run_id, call.step_id] = report
            if not self._begun and not self._closed:
                self._begun = True
                self._loop.call_soon_threadsafe(self._begin)

    async def close(self) -> None:
        """Stop writing; call this when no attempt is executing any more."""
        with self._lock:
            self._closed = True
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)

    def _begin(self) -> None:
        if not self._closed and (self._writing is None or self._writing.done()):
            self._writing = self._loop.create_task(self._write_all())
            self._writing.add_done_callback(self._ended)

    async def _write_all(self) -> None:
        while True:
            with self._lock:
                latest, self._latest = self._latest, {}
                if not latest:
                    self._begun = False
                    return
            try:
                await self._database.call(self._write, latest)
            except DatabaseUnavailable as error:  # the next report is tried again
                logger.warning("progress of steps not written: %s", error)
            await asyncio.sleep(_PAUSE_SECONDS)

    def _ended(self, writing: "asyncio.Task[None]") -> None:
        if not writing.cancelled() and (error := writing.exception()) is not None:
            logger.error("progress of steps not written", exc_info=error)
            with self._lock:
                self._begun = False

    def _write(self, latest: dict[tuple[str, str], _Report]) -> None:
        reports = list(latest.values())
        with self._database.transaction() as connection:
            connection.execute(
                _SQL.write,
                {
                    "run_ids": [run_id for run_id, _ in latest],
                    "steps": [step_id for _, step_id in latest],
                    "attempts": [report.attempt for report in reports],
                    "fractions": [report.fraction for report in reports],
                    "messages": [report.message for report in reports],
                },
            )
            connection.execute(_SQL.notify)
