"""Copying what a run made out of the store."""

import asyncio
from pathlib import Path

from orchestrator.cli.client import Client, Document
from orchestrator.cli.complaint import Complaint, unknown


async def found_artifacts(client: Client, run_id: str, step_id: str | None, folder: Path | None) -> list[Document]:
    """Return a run's artifacts; with a folder, copied there by step, each with its `path` (None: kept elsewhere).

    Raises:
        Complaint: the run has no such step, or the folder cannot be written.
        ArtifactGone: the bytes of one are no longer there.
    """
    found = await client.artifacts(run_id, step_id)
    if step_id is not None and not found:
        names = [step["stepId"] for step in await client.steps(run_id)]
        if step_id not in names:
            raise unknown("step", step_id, names, f"`orchestrator steps {run_id}` lists them.")
    if folder is None:
        return found
    return [{**each, "path": await download(client, each, folder / each["stepId"])} for each in found]


async def download(client: Client, artifact: Document, folder: Path) -> str | None:
    """Copy an artifact into a folder under its file name and return the path; None when it is kept elsewhere.

    Raises:
        Complaint: the folder cannot be written.
        ArtifactGone: its bytes are no longer there.
    """
    if artifact["uri"].startswith(("http://", "https://")):
        return None
    # A file name was checked when it was stored; taking its last part costs nothing.
    target = folder / Path(artifact["filename"] or artifact["id"]).name
    try:
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        await client.save_artifact(artifact, target)
    except OSError as error:
        raise Complaint(f"{target} cannot be written: {error.strerror or error}", "Choose another folder.") from error
    return str(target)
