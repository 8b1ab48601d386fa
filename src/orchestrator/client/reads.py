"""The calls that only read: runs and their results, workflows, read models and the server's health."""

from collections.abc import AsyncGenerator, Collection
from typing import Any, Literal, cast

from orchestrator.client import documents
from orchestrator.client.deadline import Deadline
from orchestrator.client.exchange import Request, part
from orchestrator.client.following import follow as follow_events
from orchestrator.client.inspection import Inspection

_PAGE = 200
_PAGE_OF_EVENTS = 1000
BLOCKED_GRACE_SECONDS = 10.0
"""How long `wait` waits for a blocked run by default: a worker may be about to start."""


class Reads(Inspection):
    """The calls that only read. The examples use the blocking client; with `AsyncClient`, add `await`."""

    async def run(self, run_id: str, *, at: int | str | None = None) -> documents.Run:
        """Return a run, in its current state or in its state at an earlier point.

        Args:
            run_id: id of a run.
            at: a version of the run's history, or an RFC 3339 time. By default, the current state is returned.

        Raises:
            RunNotFound: the run does not exist, or did not exist at that time.
            InvalidRequest: the run has not reached that version yet.

        >>> run_id = client.trigger("hello.v1", {"name": "Ada"})["runId"]
        >>> client.wait(run_id)["status"], client.run(run_id, at=1)["status"]
        ('completed', 'queued')
        """
        return cast("documents.Run", await self._get(f"/runs/{part(run_id)}", at=at))

    async def wait(
        self,
        run_id: str,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - not a cancellation
        blocked_grace: float | None = BLOCKED_GRACE_SECONDS,
    ) -> documents.Run:
        """Wait until a run has completed, failed or was cancelled, and return it. It does not poll.

        Args:
            run_id: id of a run.
            timeout: maximum number of seconds to wait. None waits forever.
            blocked_grace: maximum number of seconds to wait while the run is blocked, that is, while no worker has a
                skill that it needs. None sets no limit.

        Raises:
            RunNotFound: the run does not exist.
            RunIsBlocked: the run is still blocked; `skills` lists the missing skills. A subclass of `WaitTimedOut`.
            WaitTimedOut: the run did not finish within `timeout` seconds. It continues.

        >>> run = client.wait(client.trigger("hello.v1", {"name": "Ada"})["runId"], timeout=60)
        >>> run["status"], run["stepsSummary"]["total"]
        ('completed', 2)
        >>> client.wait(client.trigger("waiting.v1")["runId"], blocked_grace=0)
        Traceback (most recent call last):
        orchestrator.client.errors.RunIsBlocked: run ... is blocked: no worker knows nobody.knows. Start ...
        """
        deadline = Deadline(run_id, timeout, blocked_grace)
        run = await self.run(run_id)
        if run["status"] not in documents.OVER:
            if run["status"] == "blocked":
                deadline.blocked(run["missingSkills"])
            async for _ in follow_events(self._exchange, part(run_id), run["version"], deadline):
                pass
            run = await self.run(run_id)
        return run

    async def events(
        self, run_id: str, *, progress: bool = False, after: int = 0
    ) -> AsyncGenerator[documents.RecordedEvent, None]:
        """Yield the recorded events of a run, then each new event as it happens, until the run ends.

        If the connection breaks, the client reconnects and resumes after the last event it received.

        Args:
            run_id: id of a run.
            progress: also yield the progress that skills report: documents of the type `StepProgress`, whose `data`
                is `{step, attempt, fraction, message}`. They are not events, so they have no version.
            after: the version of an event; only later events are sent.

        Raises:
            RunNotFound: the run does not exist.

        >>> run_id = client.trigger("hello.v1", {"name": "Grace Hopper"})["runId"]
        >>> [event["type"] for event in client.events(run_id)][-1]
        'RunCompleted'
        """
        async for document in follow_events(self._exchange, part(run_id), after, progress=progress):
            yield cast("documents.RecordedEvent", document)

    async def history(self, run_id: str, *, after: int = 0) -> AsyncGenerator[documents.RecordedEvent, None]:
        """Yield the events of a run recorded so far, oldest first.

        Args:
            run_id: id of a run.
            after: the version of an event; only later events are returned.

        Raises:
            RunNotFound: the run does not exist.

        >>> run_id = client.trigger("hello.v1", {"name": "Ada"})["runId"]
        >>> next(client.history(run_id))["type"]
        'RunTriggered'
        """
        cursor: int | None = after
        while cursor is not None:
            page = await self._get(f"/runs/{part(run_id)}/events", after=cursor, limit=_PAGE_OF_EVENTS)
            for event in page["events"]:
                yield event
            cursor = page["nextCursor"]

    async def runs(
        self,
        *,
        status: documents.RunStatus | Collection[documents.RunStatus] | None = None,
        workflow: str | None = None,
        label: tuple[str, str] | None = None,
        base_run_id: str | None = None,
        version: str | None = None,
        since: str | None = None,
        until: str | None = None,
    ) -> AsyncGenerator[documents.Run, None]:
        """Yield runs, newest first. Pages are fetched as needed.

        Args:
            status: only runs with this status, or with one of these statuses.
            workflow: only runs of this workflow.
            label: only runs with this label, a key and its value.
            base_run_id: only updates and retries of this run.
            version: only runs of this version; give `workflow` too.
            since: only runs triggered at or after this RFC 3339 time.
            until: only runs triggered before this RFC 3339 time.

        >>> run_id = client.trigger("hello.v1", {"name": "Ada"}, labels={"order": "4711"})["runId"]
        >>> [run["id"] for run in client.runs(label=("order", "4711"))] == [run_id]
        True
        """
        cursor = None
        while True:
            page = await self.run_page(
                status=status,
                workflow=workflow,
                version=version,
                label=label,
                base_run_id=base_run_id,
                since=since,
                until=until,
                cursor=cursor,
                limit=_PAGE,
            )
            for run in page["runs"]:
                yield run
            cursor = page["nextCursor"]
            if cursor is None:
                return

    async def run_page(
        self,
        *,
        status: documents.RunStatus | Collection[documents.RunStatus] | None = None,
        workflow: str | None = None,
        version: str | None = None,
        label: tuple[str, str] | None = None,
        base_run_id: str | None = None,
        since: str | None = None,
        until: str | None = None,
        id_prefix: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> documents.RunPage:
        """Return one page of runs, newest first.

        Args:
            status: only runs with this status, or with one of these statuses.
            workflow: only runs of this workflow.
            version: only runs of this version; give `workflow` too.
            label: only runs with this label, a key and its value.
            base_run_id: only updates and retries of this run.
            since: only runs triggered at or after this RFC 3339 time.
            until: only runs triggered before this RFC 3339 time.
            id_prefix: only runs whose id begins with these 4 to 32 hexadecimal digits. The page is ordered by id, and
                it is the only one.
            cursor: `nextCursor` of the previous page. None returns the first page.
            limit: maximum number of runs, 1 to 200.

        >>> page = client.run_page(limit=1)
        >>> len(page["runs"])
        1
        >>> client.run_page(id_prefix=page["runs"][0]["id"][:20])["nextCursor"] is None
        True
        """
        found = await self._get(
            "/runs",
            status=status if status is None or isinstance(status, str) else list(status),
            workflowName=workflow,
            workflowVersion=version,
            since=since,
            until=until,
            idPrefix=id_prefix,
            label=None if label is None else ":".join(label),
            baseRunId=base_run_id,
            cursor=cursor,
            limit=limit,
        )
        return cast("documents.RunPage", found)

    async def cache_analysis(self, run_id: str, *, step_id: str | None = None) -> list[documents.StepCacheAnalysis]:
        """Return, for each step, whether its result came from the cache, its cache key, and what changed.

        Raises:
            RunNotFound: the run does not exist.
            InvalidRequest: the workflow has no such step.

        >>> _ = client.wait(client.trigger("hello.v1", {"name": "Ada"})["runId"])
        >>> again = client.wait(client.trigger("hello.v1", {"name": "Ada"})["runId"])
        >>> [step["verdict"] for step in client.cache_analysis(again["id"])]
        ['hit', 'hit']
        """
        found = await self._get(f"/runs/{part(run_id)}/cache-analysis", stepId=step_id)
        return cast("list[documents.StepCacheAnalysis]", found["steps"])

    async def workflows(self, *, retired: bool = False) -> list[documents.WorkflowEntry]:
        """Return the latest version of every workflow, sorted by name.

        With `retired`, also workflows whose versions are all retired.

        >>> [(each["workflowName"], each["stepCount"]) for each in client.workflows()]
        [('hello.v1', 2), ('waiting.v1', 1)]
        """
        return cast(
            "list[documents.WorkflowEntry]", (await self._get("/workflows", retired=retired or None))["workflows"]
        )

    async def workflow(self, name: str, version: str | None = None) -> documents.Workflow:
        """Return a workflow definition: steps, policies, change types, and the names of up to 1,000 versions.

        Args:
            name: name of a workflow.
            version: a version of it. By default, the one registered last.

        Raises:
            WorkflowNotFound: the workflow, or this version of it, does not exist.

        >>> [step["skillId"] for step in client.workflow("hello.v1")["steps"]]
        ['text.greet', 'text.print']
        """
        return cast("documents.Workflow", await self._get(f"/workflows/{part(name)}", version=version))

    async def projections(self) -> list[documents.Projection]:
        """Return the state of each read model: its position, its lag, and the outcome of its last rebuild.

        >>> [(each["name"], each["state"]) for each in client.projections() if each["name"] == "runs"]
        [('runs', 'live')]
        """
        return cast("list[documents.Projection]", (await self._get("/projections"))["projections"])

    async def me(self) -> documents.Me:
        """Return the caller: its tenant, its name in the log, its role, and when its credentials expire.

        Raises:
            Unauthenticated: the key or token is missing, wrong, expired or revoked.

        >>> client.me()["role"]
        'admin'
        """
        return cast("documents.Me", await self._get("/me"))

    async def live(self) -> documents.Live:
        """Check that the server process is running. This call is not retried.

        >>> client.live()
        {'status': 'live'}
        """
        return cast("documents.Live", await self._probe("live"))

    async def ready(self) -> documents.Readiness:
        """Check that the database is available and the read models keep up. This call is not retried.

        Raises:
            Unavailable: the database is unavailable or the read models lag behind; `details` says which.

        >>> client.ready()["status"]
        'ready'
        """
        return cast("documents.Readiness", await self._probe("ready"))

    async def queues(self) -> documents.Queues:
        """Count the unfinished runs: queued, running, and blocked because no worker has a skill they need.

        `workers` is the number of workers with a current heartbeat.

        >>> sorted(client.queues())
        ['blocked', 'queued', 'running', 'workers']
        """
        return cast("documents.Queues", await self._probe("queues"))

    async def close(self) -> None:
        """Close the connections."""
        await self._exchange.wire.close()

    async def _probe(self, what: Literal["live", "ready", "queues"]) -> Any:
        return (await self._exchange.ask(Request("GET", f"/health/{what}", fresh=False, tries=1))).document
