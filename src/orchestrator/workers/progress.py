"""What skills say of their attempts while they are under way, for everybody who looks at the run.

    ctx.progress (any thread) -> the latest word of each step -> one statement, twice a second at most

It costs nothing where no skill says anything, and no event: the log has no use for it.
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
class _Word:
    attempt: int
    fraction: float
    message: str


class ProgressWriter:
    """Writes progress to the database. Belongs to one event loop; `report` may be called from any thread."""

    def __init__(self, database: Database, loop: asyncio.AbstractEventLoop) -> None:
        self._database = database
        self._loop = loop
        self._lock = threading.Lock()
        self._latest: dict[tuple[str, str], _Word] = {}
        self._writing: asyncio.Task[None] | None = None
        self._begun = False
        self._closed = False

    def report(self, call: SkillCall, fraction: float, message: str) -> None:
        """Take note of how far an attempt is."""
        word = _Word(call.attempt, fraction, readable(message, _MESSAGE_CHARACTERS))
        with self._lock:
            self._latest[call.run_id, call.step_id] = word
            if not self._begun and not self._closed:
                self._begun = True
                self._loop.call_soon_threadsafe(self._begin)

    async def close(self) -> None:
        """Write nothing more: the attempts are over."""
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
            except DatabaseUnavailable as error:  # what a skill says next is written again
                logger.warning("the progress of steps is not shown: %s", error)
            await asyncio.sleep(_PAUSE_SECONDS)

    def _ended(self, writing: "asyncio.Task[None]") -> None:
        if not writing.cancelled() and (error := writing.exception()) is not None:
            logger.error("the progress of steps is not shown", exc_info=error)
            with self._lock:
                self._begun = False

    def _write(self, latest: dict[tuple[str, str], _Word]) -> None:
        words = list(latest.values())
        with self._database.transaction() as connection:
            connection.execute(
                _SQL.write,
                {
                    "run_ids": [run_id for run_id, _ in latest],
                    "steps": [step_id for _, step_id in latest],
                    "attempts": [word.attempt for word in words],
                    "fractions": [word.fraction for word in words],
                    "messages": [word.message for word in words],
                },
            )
