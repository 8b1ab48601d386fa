"""Copy a run's artifacts and data out of the store."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.artifacts.names import is_outside_uri
from orchestrator.artifacts.paths import Paths
from orchestrator.cli.complaint import Complaint, unknown

if TYPE_CHECKING:
    from orchestrator.application.calls import Calls

Document = dict[str, Any]


async def found_artifacts(client: "Calls", run_id: str, step_id: str | None, folder: Path | None) -> list[Document]:
    """Return a run's artifacts.

    With a folder, copy each to `folder/step/filename` and add this `path`. It is None for an external artifact.

    Raises:
        Complaint: the run has no such step, or the folder cannot be written.
        ArtifactGone: an artifact's content no longer exists.
    """
    found = await client.artifacts(run_id, step_id=step_id)
    if step_id is not None and not found:
        names = [step["stepId"] for step in await client.steps(run_id)]
        if step_id not in names:
            raise unknown("step", step_id, names, f"List its steps with `orchestrator steps {run_id}`.")
    if folder is None:
        return found
    paths = Paths(folder)
    return [{**each, "path": await download(client, each, paths, each["stepId"])} for each in found]


async def download(client: "Calls", artifact: Document, paths: Paths, *folders: str) -> str | None:
    """Copy an artifact to a unique path made from its file name, and return the path; None for an external artifact.

    Raises:
        Complaint: the folder cannot be written.
        ArtifactGone: the artifact's content no longer exists.
    """
    if is_outside_uri(artifact["uri"]):
        return None
    target = paths.take(*folders, artifact["filename"] or artifact["id"])
    try:
        await asyncio.to_thread(target.parent.mkdir, parents=True, exist_ok=True)
        await client.download(artifact["id"], target)
    except OSError as error:
        raise Complaint(f"Cannot write {target}: {error.strerror or error}", "Choose another directory.") from error
    return str(target)


async def download_data(client: "Calls", run_id: str, step_id: str, target: Path) -> Document:
    """Write the data of a step to a file, and return `{runId, stepId, path, sizeBytes}`.

    Raises:
        Complaint: the file cannot be written.
        ArtifactGone: the data no longer exists.
    """
    try:
        await client.download_data(run_id, step_id, target)
        size_bytes = (await asyncio.to_thread(target.stat)).st_size
    except OSError as error:
        raise Complaint(f"Cannot write {target}: {error.strerror or error}", "Choose another file.") from error
    return {"runId": run_id, "stepId": step_id, "path": str(target), "sizeBytes": size_bytes}
