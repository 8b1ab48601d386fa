"""The read calls that look into a run page by page: its events in both directions, its steps, one step."""

from collections.abc import Collection
from typing import Literal, cast

from orchestrator.client import documents
from orchestrator.client.exchange import part
from orchestrator.client.results import Results


class Inspection(Results):
    """The read calls that look into a run. The examples use the blocking client; with `AsyncClient`, add `await`."""

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
    ) -> documents.EventPage:
        """Return a page of the events of a run, oldest or newest first.

        Args:
            run_id: id of a run.
            order: `asc`, oldest first, or `desc`, newest first.
            after: version of an event: only later events are returned. For `asc`.
            before: version of an event: only earlier events are returned. For `desc`.
            types: only events of these types.
            step_id: only events of this step. One call looks at up to 5,000 events, so a page may be short, or empty,
                and still have a `nextCursor`.
            limit: maximum number of events, 1 to 1,000.

        Raises:
            RunNotFound: the run does not exist.
            InvalidRequest: there is no such type of events, or the run has not reached this version.

        >>> run = client.wait(client.trigger("hello.v1", {"name": "Ada"})["runId"])
        >>> page = client.event_page(run["id"], order="desc", types=["RunTriggered", "RunCompleted"], limit=1)
        >>> [event["type"] for event in page["events"]], page["total"] == run["version"]
        (['RunCompleted'], True)
        """
        found = await self._get(
            f"/runs/{part(run_id)}/events",
            order=order,
            after=after,
            before=before,
            type=None if types is None else list(types),
            stepId=step_id,
            limit=limit,
        )
        return cast("documents.EventPage", found)

    async def step_page(
        self,
        run_id: str,
        *,
        at: int | str | None = None,
        statuses: Collection[documents.StepStatus] | None = None,
        view: Literal["full", "summary"] = "full",
        cursor: str | None = None,
        limit: int | None = None,
    ) -> documents.StepPage:
        """Return a page of the steps of a run in topological order, now or at an earlier point.

        Args:
            run_id: id of a run.
            at: a version of the run's history, or an RFC 3339 time. By default, the current state is returned.
            statuses: only steps with one of these statuses.
            view: `full`, or `summary` without results, errors and past attempts.
            cursor: `nextCursor` of the previous page.
            limit: maximum number of steps, 1 to 1,000. None returns all.

        Raises:
            RunNotFound: the run does not exist, or did not exist at that time.
            InvalidRequest: the run has not reached that version yet, or the cursor is not one of this run.

        >>> run = client.wait(client.trigger("hello.v1", {"name": "Ada"})["runId"])
        >>> page = client.step_page(run["id"], at=1, view="summary", limit=1)
        >>> [(step["stepId"], step["status"]) for step in page["steps"]], page["nextCursor"], page["total"]
        ([('greet', 'pending')], 'greet', 2)
        """
        found = await self._get(
            f"/runs/{part(run_id)}/steps",
            at=at,
            status=None if statuses is None else list(statuses),
            view=view,
            cursor=cursor,
            limit=limit,
        )
        return cast("documents.StepPage", found)

    async def step(self, run_id: str, step_id: str, *, at: int | str | None = None) -> documents.StepDetail:
        """Return one step of a run with its input, now or at an earlier point.

        An input of more than 32 KiB is None; `inputPreview` is then its beginning. For larger data, see `step_data`.

        Raises:
            RunNotFound: the run does not exist, or did not exist at that time.
            InvalidRequest: the workflow has no such step, or the run has not reached that version yet.

        >>> run = client.wait(client.trigger("hello.v1", {"name": "Ada"})["runId"])
        >>> client.step(run["id"], "greet")["input"]
        {'name': 'Ada'}
        """
        return cast("documents.StepDetail", await self._get(f"/runs/{part(run_id)}/steps/{part(step_id)}", at=at))

    async def workflow_graph(self, name: str, version: str | None = None) -> documents.WorkflowGraph:
        """Return the steps of a workflow in topological order with their levels, and the edges between them.

        Args:
            name: name of a workflow.
            version: a version of it. By default, the one registered last.

        Raises:
            WorkflowNotFound: the workflow, or this version of it, does not exist.

        >>> graph = client.workflow_graph("hello.v1")
        >>> graph["levels"], graph["edges"]
        (2, [['greet', 'card']])
        """
        return cast("documents.WorkflowGraph", await self._get(f"/workflows/{part(name)}/graph", version=version))
