"""Copying what a run made out of the store."""

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
    """Return a run's artifacts; with a folder, copied there by step, each with its `path` (None: kept elsewhere).

    Raises:
        Complaint: the run has no such step, or the folder cannot be written.
        ArtifactGone: the bytes of one are no longer there.
    """
    found = await client.artifacts(run_id, step_id=step_id)
    if step_id is not None and not found:
        names = [step["stepId"] for step in await client.steps(run_id)]
        if step_id not in names:
            raise unknown("step", step_id, names, f"`orchestrator steps {run_id}` lists them.")
    if folder is None:
        return found
    paths = Paths(folder)
    return [{**each, "path": await download(client, each, paths, each["stepId"])} for each in found]


async def download(client: "Calls", artifact: Document, paths: Paths, *folders: str) -> str | None:
    """Copy an artifact to a path of its own, made of its file name, and return it; None when it is kept elsewhere.

    Raises:
        Complaint: the folder cannot be written.
        ArtifactGone: its bytes are no longer there.
    """
    if is_outside_uri(artifact["uri"]):
        return None
    target = paths.take(*folders, artifact["filename"] or artifact["id"])
    try:
        await asyncio.to_thread(target.parent.mkdir, parents=True, exist_ok=True)
        await client.download(artifact["id"], target)
    except OSError as error:
        raise Complaint(f"{target} cannot be written: {error.strerror or error}", "Choose another folder.") from error
    return str(target)
