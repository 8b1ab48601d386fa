"""The read calls about what a run left behind: its steps, their data, artifacts and logs."""

from collections.abc import AsyncGenerator
from os import PathLike
from typing import Any, cast

from orchestrator.client import documents
from orchestrator.client.exchange import Exchange, Request, part
from orchestrator.client.fetching import Fetching
from orchestrator.client.logs import follow_logs, read_logs
from orchestrator.client.wire import Wire


class Results:
    """The read calls about what a run left behind.

    The examples use the blocking client; with the asynchronous client, put `await` before the calls.
    """

    def __init__(self, wire: Wire, server: str, *, key: str | None, timeout: float, tries: int) -> None:
        self._exchange = Exchange(wire, server, key=key, timeout=timeout, tries=tries)

    async def steps(self, run_id: str, *, status: documents.StepStatus | None = None) -> list[documents.Step]:
        """Return the steps of a run in topological order, including those reused from other runs.

        Raises:
            RunNotFound: the run does not exist.

        >>> run = client.wait(client.trigger("hello.v1", {"name": "Ada"})["runId"])
        >>> [step["data"] for step in client.steps(run["id"])]
        [{'text': 'Hello Ada'}, {'characters': 9}]
        """
        found = await self._get(f"/runs/{part(run_id)}/steps", status=status)
        return cast("list[documents.Step]", found["steps"])

    async def step_data(self, run_id: str, step_id: str) -> Any:
        """Return the data of a step, even if it is too large for the log. None if the step has no data yet.

        Raises:
            RunNotFound: the run does not exist.
            InvalidRequest: the workflow has no such step.
            ArtifactGone: the stored data is missing or was altered.

        >>> run = client.wait(client.trigger("hello.v1", {"name": "Ada"})["runId"])
        >>> client.step_data(run["id"], "greet") == client.steps(run["id"])[0]["data"]
        True
        """
        return await self._get(f"/runs/{part(run_id)}/steps/{part(step_id)}/data")

    async def download_data(self, run_id: str, step_id: str, target: str | PathLike[str]) -> None:
        """Download the data of a step to a file, as JSON of any size, without holding it in memory; see `download`.

        Raises:
            RunNotFound, InvalidRequest, ArtifactGone: see `step_data`.
            ContentDamaged, OSError: see `download`.

        >>> run = client.wait(client.trigger("hello.v1", {"name": "Ada"})["runId"])
        >>> client.download_data(run["id"], "greet", "greet.json")
        >>> Path("greet.json").read_text()
        '{"text":"Hello Ada"}'
        """
        await Fetching(self._exchange, f"/runs/{part(run_id)}/steps/{part(step_id)}/data").download(target)

    async def artifacts(self, run_id: str, *, step_id: str | None = None) -> list[documents.Artifact]:
        """Return the artifacts of the completed and skipped steps of a run, including reused ones.

        Raises:
            RunNotFound: the run does not exist.

        >>> run = client.wait(client.trigger("hello.v1", {"name": "Ada"})["runId"])
        >>> [(each["filename"], each["sizeBytes"]) for each in client.artifacts(run["id"])]
        [('card.html', 18)]
        """
        found = await self._get(f"/runs/{part(run_id)}/artifacts", stepId=step_id)
        return cast("list[documents.Artifact]", found["artifacts"])

    async def content(self, artifact_id: str) -> bytes:
        """Return the bytes of an artifact, verified against its hash.

        Raises:
            ArtifactNotFound: the artifact does not exist.
            ArtifactGone: its bytes are missing or were altered.
            ArtifactElsewhere: it is stored elsewhere.
            ContentDamaged: the received bytes do not match the hash.

        >>> run = client.wait(client.trigger("hello.v1", {"name": "Ada"})["runId"])
        >>> client.content(client.artifacts(run["id"])[0]["id"])
        b'<h1>Hello Ada</h1>'
        """
        return await Fetching(self._exchange, f"/artifacts/{part(artifact_id)}/content").content()

    async def download(self, artifact_id: str, target: str | PathLike[str]) -> None:
        """Download an artifact to a file. An interrupted download is resumed; an incomplete file never appears.

        Args:
            artifact_id: id of an artifact.
            target: path of the file. An existing file is replaced; the folder must exist.

        Raises:
            ArtifactNotFound, ArtifactGone, ArtifactElsewhere, ContentDamaged: see `content`.
            OSError: the file cannot be written.

        >>> run = client.wait(client.trigger("hello.v1", {"name": "Ada"})["runId"])
        >>> client.download(client.artifacts(run["id"])[0]["id"], "card.html")
        >>> Path("card.html").read_text()
        '<h1>Hello Ada</h1>'
        """
        await Fetching(self._exchange, f"/artifacts/{part(artifact_id)}/content").download(target)

    async def logs(
        self, run_id: str, step_id: str | None = None, *, attempt: int | None = None, follow: bool = False
    ) -> AsyncGenerator[documents.LogLine, None]:
        """Yield what the skills of a run printed and logged, oldest first.

        Args:
            run_id: id of a run.
            step_id: only lines of this step.
            attempt: only lines of this attempt, counted from 1.
            follow: wait for new lines until the run, or the step or attempt if it is given, is over. If the connection
                breaks, the client reconnects and resumes after the last line it received.

        Raises:
            RunNotFound: the run does not exist.
            InvalidRequest: the workflow has no such step.

        >>> run = client.wait(client.trigger("hello.v1", {"name": "Ada"})["runId"])
        >>> [line["text"] for line in client.logs(run["id"], "greet", follow=True)]
        []
        """
        path = f"/runs/{part(run_id)}" + ("/logs" if step_id is None else f"/steps/{part(step_id)}/logs")
        async for line in (follow_logs if follow else read_logs)(self._exchange, path, attempt):
            yield line

    async def _get(self, path: str, **query: str | int | list[str] | None) -> Any:
        return (await self._exchange.ask(Request("GET", path, query))).document
