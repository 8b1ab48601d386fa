"""Reads the logs of steps: what their skills print. See `workers.logs` for how they are written."""

import asyncio
import gzip
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import orjson

from orchestrator.application.errors import InvalidRequest
from orchestrator.artifacts.errors import ArtifactGone, ArtifactRejected
from orchestrator.artifacts.store import ArtifactStore
from orchestrator.domain.errors import Fault, UnknownStep
from orchestrator.domain.events import RunTriggered
from orchestrator.domain.output import Artifact
from orchestrator.eventstore.runs import FindWorkflow
from orchestrator.postgres.database import Database
from orchestrator.postgres.sql import load_sql
from orchestrator.projections.views.reader import Reader
from orchestrator.projections.views.values import timestamp

MAX_LINES = 1000
"""The maximum number of lines on a page."""

CURSOR_PATTERN = r"^\d{1,9}\.\d{1,9}$"

_SQL = load_sql(__file__)
_START = "0.0"
_PAGE_CHUNKS = 16
_PAGE_BYTES = 1 << 20
_SETTLE_SECONDS = 1.0
_SETTLE_MILLISECONDS = 5000
_LOOK_SECONDS = 0.2
_WAIT_SECONDS = 2.0

Document = dict[str, Any]

Changed = Callable[[float], Awaitable[object]]
"""Waits for up to the given seconds until there may be more lines, or the run may be over."""


@dataclass(frozen=True, slots=True)
class LogScope:
    """Which lines to read: those of a run, of one of its steps, or of one attempt."""

    tenant: str
    run_id: str
    step_id: str | None = None
    attempt: int | None = None

    def parameters(self) -> Document:
        """Return the scope as parameters of a query."""
        return {"tenant": self.tenant, "run_id": self.run_id, "step_id": self.step_id, "attempt": self.attempt}


@dataclass(slots=True)
class LogPage:
    """Lines in order, each after its cursor. `has_more` says whether more lines are stored."""

    lines: list[tuple[str, Document]] = field(default_factory=list)
    has_more: bool = False
    cut: int = 0

    def view(self) -> Document:
        """Return the page as JSON: `{lines, nextCursor, cut}`."""
        following = self.lines[-1][0] if self.has_more and self.lines else None
        return {"lines": [line for _, line in self.lines], "nextCursor": following, "cut": self.cut}


class StepLogs:
    """Reads logs page by page, or follows them until the run, step or attempt is over."""

    def __init__(self, database: Database, reader: Reader, store: ArtifactStore, find_workflow: FindWorkflow) -> None:
        self._database = database
        self._reader = reader
        self._store = store
        self._find_workflow = find_workflow

    async def check(self, scope: LogScope) -> None:
        """Check that a run and its step exist.

        Raises:
            RunNotFound: there is no run with this id, or it belongs to another tenant.
            UnknownStep: the run's workflow has no such step.
        """
        await self._database.call(self._check, scope)

    async def page(self, scope: LogScope, after: str | None = None, limit: int = MAX_LINES) -> LogPage:
        """Return up to `limit` lines after a cursor, or about 1 MiB of them.

        Raises:
            InvalidRequest: the cursor is invalid.
        """
        number, skipped = _position(after)
        chunks, cut = await self._database.call(self._chunks, scope, number)
        page = LogPage(cut=cut)
        size = 0
        for place, chunk in enumerate(chunks[:_PAGE_CHUNKS]):
            first = skipped if chunk["number"] == number else 0
            page.has_more = place + 1 < len(chunks)
            if first >= chunk["lines"]:
                continue
            found, read = await asyncio.to_thread(self._lines, scope.tenant, chunk, first, limit - len(page.lines))
            page.lines += found
            size += read
            page.has_more = page.has_more or found[-1][0] != _cursor(chunk, chunk["lines"])
            if len(page.lines) >= limit or size >= _PAGE_BYTES:
                break
        return page

    async def is_settled(self, scope: LogScope) -> bool:
        """Return whether a run was over some seconds ago, so that its log does not grow any more."""
        return bool((await self._database.call(self._state, scope))["is_settled"])

    async def follow(
        self, scope: LogScope, after: str | None, changed: Changed
    ) -> AsyncGenerator[Sequence[tuple[str, Document]], None]:
        """Yield the stored lines in batches, then new ones, until the run, step or attempt is over and all are sent.

        An empty batch is yielded after each wait, so that a caller can check whether to go on.
        """
        over_since: float | None = None
        while True:
            state = await self._database.ask(self._state, scope)
            page = await self.page(scope, after)
            if page.lines:
                after = page.lines[-1][0]
                yield page.lines
            if page.has_more:
                continue
            if state["is_settled"]:
                return
            if not state["is_over"]:
                over_since = None
                await changed(_WAIT_SECONDS)
            elif over_since is None:
                over_since = monotonic()
                await asyncio.sleep(_LOOK_SECONDS)
            elif monotonic() - over_since < _SETTLE_SECONDS:
                await asyncio.sleep(_LOOK_SECONDS)
            else:
                return
            yield ()

    def _check(self, scope: LogScope) -> None:
        event = self._reader.history(scope.tenant, scope.run_id, 0, 1)[0].event
        if scope.step_id is not None and isinstance(event, RunTriggered):
            workflow = self._find_workflow(scope.tenant, event.workflow_name, event.workflow_version)
            if scope.step_id not in workflow.steps:
                raise UnknownStep.of(workflow.name, scope.step_id, workflow.steps)

    def _chunks(self, scope: LogScope, number: int) -> tuple[list[Document], int]:
        given = scope.parameters() | {"number": number, "limit": _PAGE_CHUNKS + 1}
        with self._database.connection() as connection:
            chunks = connection.execute(_SQL.chunks, given).fetchall()
            cut = connection.execute(_SQL.cut, given).fetchone()
        return chunks, 0 if cut is None else int(cut["cut"])

    def _state(self, scope: LogScope) -> Mapping[str, Any]:
        with self._database.connection() as connection:
            row = connection.execute(_SQL.state, scope.parameters() | {"settle_ms": _SETTLE_MILLISECONDS}).fetchone()
        return row or {"is_over": True, "is_settled": True}

    def _lines(
        self, tenant: str, chunk: Mapping[str, Any], first: int, limit: int
    ) -> tuple[list[tuple[str, Document]], int]:
        """Return lines of a chunk, each after its cursor, and the size of their text in characters."""
        found: list[tuple[str, Document]] = []
        size = 0
        where = {"stepId": chunk["step_id"], "attempt": chunk["attempt"]}
        try:
            content = self._content(tenant, chunk)
        except (ArtifactGone, ArtifactRejected, OSError) as error:
            # One missing chunk does not hide the others.
            text = f"[{chunk['lines']:,} lines are missing: {error}]"
            line = {"at": timestamp(chunk["first_at"]), "stream": "log", "text": text, **where}
            return [(_cursor(chunk, chunk["lines"]), line)], 0
        for place, raw in enumerate(content[first : first + limit], first + 1):
            size += len(raw)
            found.append((_cursor(chunk, place), orjson.loads(raw) | where))
            if size >= _PAGE_BYTES:
                break
        return found, size

    def _content(self, tenant: str, chunk: Mapping[str, Any]) -> list[bytes]:
        name, digest = f"{chunk['run_id']}/logs/{chunk['number']}", chunk["content_hash"]
        artifact = Artifact(name, "application/gzip", chunk["uri"], digest, chunk["size_bytes"])
        return gzip.decompress(self._store.read(artifact, tenant)).splitlines()


def _cursor(chunk: Mapping[str, Any], line: int) -> str:
    """Return the cursor after a line of a chunk, counted from 1."""
    return f"{chunk['number']}.{line}"


def _position(cursor: str | None) -> tuple[int, int]:
    """Return the chunk of a cursor, and how many of its lines are before the cursor."""
    if not re.fullmatch(CURSOR_PATTERN, cursor or _START):
        raise InvalidRequest([Fault("after", "is not a cursor returned by this API")])
    number, _, line = (cursor or _START).partition(".")
    return int(number), int(line)
