"""Writes an artifact, or the data of a step, to a file: complete and verified, or not at all."""

from io import BytesIO
from os import PathLike
from pathlib import Path
from shutil import copyfileobj
from typing import BinaryIO
from uuid import uuid4

import orjson

from orchestrator.artifacts.store import ArtifactStore
from orchestrator.domain.output import Artifact, Output

_CHUNK_BYTES = 1 << 20


def save(store: ArtifactStore, artifact: Artifact, tenant: str, target: str | PathLike[str]) -> None:
    """Write an artifact to a file. An existing file or symbolic link is replaced; the folder must exist.

    Raises:
        ArtifactGone: the bytes are missing or were altered.
        ArtifactRejected: the bytes are stored elsewhere.
        OSError: the file cannot be written.
    """
    with store.open_verified(artifact, tenant) as source:
        _write(source, Path(target))


def save_data(store: ArtifactStore, output: Output | None, tenant: str, target: str | PathLike[str]) -> None:
    """Write the data of an output to a file, as JSON; `null` if there is no output yet. See `save` for the errors."""
    if output is not None and output.data_ref is not None:
        save(store, output.data_ref, tenant, target)
    else:
        _write(BytesIO(orjson.dumps(None if output is None else output.data)), Path(target))


def _write(source: BinaryIO, target: Path) -> None:
    partial = target.with_name(f".{uuid4().hex}.part")
    try:
        with partial.open("xb") as copy:
            copyfileobj(source, copy, _CHUNK_BYTES)
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
