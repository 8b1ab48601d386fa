"""What verbs ask for, whoever answers: the data directory here (`local.py`), or a server (`remote.py`).

Everything is a JSON document in the form of the HTTP API (docs/http-api).
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from orchestrator.domain.change import ChangeRequest
from orchestrator.domain.workflow import Workflow

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """What a prune leaves of the step cache; None sets no limit. Bytes are those of results, without artifacts."""

    older_than_seconds: float | None = None
    most_entries: int | None = None
    most_bytes: int | None = None


class Client(Protocol):
    """Asks and reads as one tenant.

    What is raised is told by the names of the rules; what a server raises is in `orchestrator.client.errors`.
    """

    async def trigger(
        self,
        workflow: str,
        *,
        version: str | None = None,
        payload: Mapping[str, Any] | None = None,
        priority: int = 0,
        labels: Mapping[str, str] | None = None,
    ) -> Document:
        """Ask for a run; returns `{runId, status, message}`.

        Raises:
            WorkflowNotFound: no such workflow or version.
            InvalidPayload: the payload breaks the workflow's payloadSchema.
        """

    async def trigger_many(
        self,
        workflow: str,
        payloads: Sequence[Mapping[str, Any]],
        *,
        version: str | None = None,
        priority: int = 0,
        labels: Mapping[str, str] | None = None,
    ) -> Document:
        """Ask for a run for each payload, all or none; returns `{runs: [{runId, status, message}]}`.

        Raises:
            WorkflowNotFound: no such workflow or version.
            InvalidPayload: some payloads break the workflow's payloadSchema.
        """

    async def plan(self, run_id: str, change: ChangeRequest) -> Document:
        """Say what a change of a completed run would do: the document of docs/http-api, `planHash` in it.

        Raises:
            RunNotFound, BaseRunNotCompleted, UnknownChangeType, UnknownStep, InvalidPayload.
        """

    async def update(self, run_id: str, change: ChangeRequest, *, expected_plan_hash: str | None = None) -> Document:
        """Ask for a run that changes a completed one; returns `{runId, status, message}`.

        Raises:
            RunNotFound, BaseRunNotCompleted, UnknownChangeType, UnknownStep, InvalidPayload.
            PlanChanged: the plan is no longer the one expected.
        """

    async def retry(self, run_id: str) -> Document:
        """Ask for another try of a failed or cancelled run; returns `{runId, status, message}`.

        Raises:
            RunNotFound, RunNotRetryable.
        """

    async def cancel(self, run_id: str, reason: str | None = None) -> Document:
        """End a run and return it.

        Raises:
            RunNotFound: there is none with this id.
            RunNotCancellable: it is finished.
        """

    async def run(self, run_id: str) -> Document:
        """Return a run.

        Raises:
            RunNotFound: there is none with this id.
        """

    async def runs(
        self,
        *,
        status: str | None = None,
        workflow: str | None = None,
        label: tuple[str, str] | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Document:
        """Return `{runs, nextCursor}`, newest first."""

    async def step_data(self, run_id: str, step_id: str) -> Any:
        """Return the data of a step, however large; raises RunNotFound, UnknownStep, ArtifactGone."""
        ...

    async def steps(self, run_id: str, status: str | None = None) -> list[Document]:
        """Return a run's steps in topological order; raises RunNotFound."""

    async def artifacts(self, run_id: str, step_id: str | None = None) -> list[Document]:
        """Return a run's artifacts, new and reused; raises RunNotFound."""

    async def save_artifact(self, artifact: Mapping[str, Any], target: Path) -> None:
        """Write the bytes of an artifact to a file; its folder must be there.

        Raises:
            ArtifactGone: they are no longer there, or not what they were.
            ArtifactRejected: they are kept elsewhere (a uri from outside).
            OSError: the file cannot be written.
        """

    async def history(self, run_id: str) -> list[Document]:
        """Return a run's events as recorded; raises RunNotFound."""

    def follow(self, run_id: str) -> AsyncIterator[Document]:
        """Yield a run's events, those there are and those to come, up to the terminal one; raises RunNotFound."""

    async def explain(self, run_id: str, step: str) -> Document:
        """Return why a step was, or was not, taken from the cache.

        Raises:
            RunNotFound: there is none with this id.
            UnknownStep: its workflow has no such step.
        """

    async def workflows(self) -> list[Document]:
        """Return the version registered last of each workflow, by name."""

    async def workflow(self, name: str, version: str | None = None) -> Document:
        """Return a workflow's definition with `digest`, `registeredAt`, `stepCount` and `versions`.

        Raises:
            WorkflowNotFound: no such workflow or version.
        """

    async def register(self, workflow: Workflow) -> bool:
        """Register a version; False when the same content is there already.

        Raises:
            WorkflowVersionExists: the version is there with other content.
        """
