"""The calls that look: at runs, what they made and how they went, at workflows, at the server itself."""

from collections.abc import AsyncGenerator
from os import PathLike
from typing import Any, Literal, cast

from orchestrator.client import documents
from orchestrator.client.deadline import Deadline
from orchestrator.client.exchange import Exchange, Request, part
from orchestrator.client.fetching import Fetching
from orchestrator.client.following import follow
from orchestrator.client.wire import Wire

_PAGE = 200
_PAGE_OF_EVENTS = 1000
BLOCKED_GRACE_SECONDS = 10.0
"""How long a blocked run is waited for unless the caller says: a worker may be about to start."""


class Reads:
    """What can be looked at. The examples are those of the blocking client; else put `await` before them."""

    def __init__(self, wire: Wire, server: str, *, key: str | None, timeout: float, tries: int) -> None:
        self._exchange = Exchange(wire, server, key=key, timeout=timeout, tries=tries)

    async def run(self, run_id: str, *, at: int | str | None = None) -> documents.Run:
        """Return a run as it is, or with `at` (a version of its history, or an RFC 3339 time) as it was.

        Raises:
            RunNotFound: there is none with this id, or there was none then.
            InvalidRequest: it has no such version yet.

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
        """Wait until a run is over and return it, whether it completed, failed or was cancelled. Nothing polls.

        Args:
            run_id: a run.
            timeout: most seconds to wait; None waits for ever.
            blocked_grace: most seconds to wait while the run is blocked, that is, while no worker knows a skill that it
                needs; None waits on.

        Raises:
            RunNotFound.
            RunIsBlocked: the run is blocked; `skills` names what it waits for. A `WaitTimedOut`, too.
            WaitTimedOut: `timeout` seconds passed first; the run goes on.

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
            async for _ in follow(self._exchange, part(run_id), run["version"], deadline):
                pass
            run = await self.run(run_id)
        return run

    async def events(self, run_id: str, *, after: int = 0) -> AsyncGenerator[documents.RecordedEvent, None]:
        """Yield the events of a run, those there are and then each as it happens, up to the one that ends it.

        A connection that breaks is made again, and the stream goes on after the last event that came.

        Args:
            run_id: a run.
            after: the version of an event; what follows it is sent.

        Raises:
            RunNotFound.

        >>> run_id = client.trigger("hello.v1", {"name": "Grace Hopper"})["runId"]
        >>> [event["type"] for event in client.events(run_id)][-1]
        'RunCompleted'
        """
        async for event in follow(self._exchange, part(run_id), after):
            yield event

    async def history(self, run_id: str, *, after: int = 0) -> AsyncGenerator[documents.RecordedEvent, None]:
        """Yield the events of a run recorded so far, oldest first.

        Raises:
            RunNotFound.

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
        status: documents.RunStatus | None = None,
        workflow: str | None = None,
        label: tuple[str, str] | None = None,
        base_run_id: str | None = None,
    ) -> AsyncGenerator[documents.Run, None]:
        """Yield runs, newest first; pages are fetched as they are needed.

        Args:
            status: only runs with this status.
            workflow: only runs of this workflow.
            label: only runs that carry this label, a key and its value.
            base_run_id: only updates and retries of this run.

        >>> run_id = client.trigger("hello.v1", {"name": "Ada"}, labels={"order": "4711"})["runId"]
        >>> [run["id"] for run in client.runs(label=("order", "4711"))] == [run_id]
        True
        """
        cursor = None
        while True:
            page = await self.run_page(
                status=status, workflow=workflow, label=label, base_run_id=base_run_id, cursor=cursor, limit=_PAGE
            )
            for run in page["runs"]:
                yield run
            cursor = page["nextCursor"]
            if cursor is None:
                return

    async def run_page(
        self,
        *,
        status: documents.RunStatus | None = None,
        workflow: str | None = None,
        label: tuple[str, str] | None = None,
        base_run_id: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> documents.RunPage:
        """Return one page of what `runs` yields: `limit` runs (1 to 200) from a `cursor` on.

        >>> page = client.run_page(limit=1)
        >>> len(page["runs"])
        1
        """
        found = await self._get(
            "/runs",
            status=status,
            workflowName=workflow,
            label=None if label is None else ":".join(label),
            baseRunId=base_run_id,
            cursor=cursor,
            limit=limit,
        )
        return cast("documents.RunPage", found)

    async def steps(self, run_id: str, *, status: documents.StepStatus | None = None) -> list[documents.Step]:
        """Return the steps of a run in topological order, those taken over from other runs included.

        Raises:
            RunNotFound.

        >>> run = client.wait(client.trigger("hello.v1", {"name": "Ada"})["runId"])
        >>> [step["data"] for step in client.steps(run["id"])]
        [{'text': 'Hello Ada'}, {'characters': 9}]
        """
        found = await self._get(f"/runs/{part(run_id)}/steps", status=status)
        return cast("list[documents.Step]", found["steps"])

    async def step_data(self, run_id: str, step_id: str) -> Any:
        """Return the data of a step, also when it is too large for the log; None while there is none.

        Raises:
            RunNotFound, InvalidRequest, ArtifactGone.

        >>> run = client.wait(client.trigger("hello.v1", {"name": "Ada"})["runId"])
        >>> client.step_data(run["id"], "greet") == client.steps(run["id"])[0]["data"]
        True
        """
        return await self._get(f"/runs/{part(run_id)}/steps/{part(step_id)}/data")

    async def artifacts(self, run_id: str, *, step_id: str | None = None) -> list[documents.Artifact]:
        """Return what the completed and skipped steps of a run made, and what they took over from other runs.

        Raises:
            RunNotFound.

        >>> run = client.wait(client.trigger("hello.v1", {"name": "Ada"})["runId"])
        >>> [(each["filename"], each["sizeBytes"]) for each in client.artifacts(run["id"])]
        [('card.html', 18)]
        """
        found = await self._get(f"/runs/{part(run_id)}/artifacts", stepId=step_id)
        return cast("list[documents.Artifact]", found["artifacts"])

    async def content(self, artifact_id: str) -> bytes:
        """Return the bytes of an artifact, checked against their hash.

        Raises:
            ArtifactNotFound, ArtifactGone.
            ArtifactElsewhere: it is kept outside.
            ContentDamaged: other bytes came, also at the second try.

        >>> run = client.wait(client.trigger("hello.v1", {"name": "Ada"})["runId"])
        >>> client.content(client.artifacts(run["id"])[0]["id"])
        b'<h1>Hello Ada</h1>'
        """
        return await Fetching(self._exchange, part(artifact_id)).content()

    async def download(self, artifact_id: str, target: str | PathLike[str]) -> None:
        """Write the bytes of an artifact to a file, whole or not at all. A download that breaks off is resumed.

        Args:
            artifact_id: an artifact.
            target: the path of the file; what is there is replaced, its folder must be there.

        Raises:
            As `content`, and OSError: the file cannot be written.

        >>> run = client.wait(client.trigger("hello.v1", {"name": "Ada"})["runId"])
        >>> client.download(client.artifacts(run["id"])[0]["id"], "card.html")
        >>> Path("card.html").read_text()
        '<h1>Hello Ada</h1>'
        """
        await Fetching(self._exchange, part(artifact_id)).download(target)

    async def cache_analysis(self, run_id: str, *, step_id: str | None = None) -> list[documents.StepCacheAnalysis]:
        """Say of each step whether its result came from the cache, by which key, and what differs from before.

        Raises:
            RunNotFound.
            InvalidRequest: its workflow has no such step.

        >>> _ = client.wait(client.trigger("hello.v1", {"name": "Ada"})["runId"])
        >>> again = client.wait(client.trigger("hello.v1", {"name": "Ada"})["runId"])
        >>> [step["verdict"] for step in client.cache_analysis(again["id"])]
        ['hit', 'hit']
        """
        found = await self._get(f"/runs/{part(run_id)}/cache-analysis", stepId=step_id)
        return cast("list[documents.StepCacheAnalysis]", found["steps"])

    async def workflows(self) -> list[documents.WorkflowEntry]:
        """Return every workflow by name, each in the version registered last.

        >>> [(each["workflowName"], each["stepCount"]) for each in client.workflows()]
        [('hello.v1', 2), ('waiting.v1', 1)]
        """
        return cast("list[documents.WorkflowEntry]", (await self._get("/workflows"))["workflows"])

    async def workflow(self, name: str, version: str | None = None) -> documents.Workflow:
        """Return a definition with its steps, policies and change types, and the names of up to 1,000 versions.

        Raises:
            WorkflowNotFound.

        >>> [step["skillId"] for step in client.workflow("hello.v1")["steps"]]
        ['text.greet', 'text.print']
        """
        return cast("documents.Workflow", await self._get(f"/workflows/{part(name)}", version=version))

    async def projections(self) -> list[documents.Projection]:
        """Return where each read model is: how far behind, in which state, and what its last rebuild came to.

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
        """Say whether the process answers, at the first try.

        >>> client.live()
        {'status': 'live'}
        """
        return cast("documents.Live", await self._probe("live"))

    async def ready(self) -> documents.Readiness:
        """Say whether the database answers and the read models keep up, at the first try.

        Raises:
            Unavailable: one of them does not; `details` tells what was found.

        >>> client.ready()["status"]
        'ready'
        """
        return cast("documents.Readiness", await self._probe("ready"))

    async def queues(self) -> documents.Queues:
        """Count the runs that wait, that a worker has claimed, and that wait for a skill nobody has.

        >>> sorted(client.queues())
        ['blocked', 'queued', 'running']
        """
        return cast("documents.Queues", await self._probe("queues"))

    async def close(self) -> None:
        """Close the connections."""
        await self._exchange.wire.close()

    async def _get(self, path: str, **query: str | int | None) -> Any:
        return (await self._exchange.ask(Request("GET", path, query))).document

    async def _probe(self, what: Literal["live", "ready", "queues"]) -> Any:
        return (await self._exchange.ask(Request("GET", f"/health/{what}", fresh=False, tries=1))).document
