"""Calls that look into a run: its events in both directions, its steps page by page, one step with its input."""

from collections.abc import Collection
from typing import Any, Literal

from orchestrator.application.event_pages import EventQuery, read_event_page
from orchestrator.application.step_pages import StepQuery, read_step, read_step_page
from orchestrator.application.workflow_calls import WorkflowCalls

Document = dict[str, Any]


class Inspection(WorkflowCalls):
    """Looks into runs."""

    async def event_page(
        self,
        run_id: str,
        *,
        order: Literal["asc", "desc"] = "asc",
        after: int | None = None,
        before: int | None = None,
        types: Collection[str] | None = None,
        step_id: str | None = None,
        limit: int = 200,
    ) -> Document:
        """Return a page of a run's events as `{events, nextCursor, total}`. See `read_event_page`."""
        edge = before if order == "desc" else after
        query = EventQuery(order, edge, None if types is None else tuple(types), step_id, limit)
        return await self._core.database.call(read_event_page, self._core, self._caller.tenant, run_id, query)

    async def step_page(
        self,
        run_id: str,
        *,
        at: int | str | None = None,
        statuses: Collection[str] | None = None,
        view: Literal["full", "summary"] = "full",
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Document:
        """Return a page of a run's steps as `{runId, version, steps, nextCursor, total}`. See `read_step_page`."""
        await self._catch_up()
        query = StepQuery(None if at is None else str(at), tuple(statuses or ()), view, cursor, limit)
        return await self._core.database.call(read_step_page, self._core, self._caller.tenant, run_id, query)

    async def step(self, run_id: str, step_id: str, *, at: int | str | None = None) -> Document:
        """Return one step of a run with its input. See `read_step`."""
        await self._catch_up()
        return await read_step(self._core, self._caller.tenant, run_id, step_id, None if at is None else str(at))

    async def _catch_up(self) -> None:
        """Project what is in the log, if this process maintains the read models itself."""
