"""Artifacts as inputs of a skill: what a selector picked, as an artifact, and its bytes as a file of the workspace."""

import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO
from uuid import uuid4

from orchestrator.domain.output import Artifact, artifact_from_json
from orchestrator.skills.errors import SKILL_INPUT_INVALID, SkillError

FOLDER = ".artifacts"
"""The folder of the workspace for the files of earlier artifacts."""

_CHUNK_BYTES = 1 << 20
_NAME_BYTES = 200
_READ_ONLY = 0o400


def artifact_of(value: Artifact | Mapping[str, Any]) -> Artifact:
    """Return the artifact that a value of the input describes.

    Raises:
        SkillError: SKILL_INPUT_INVALID, when the value does not describe an artifact.
    """
    if isinstance(value, Artifact):
        return value
    try:
        return artifact_from_json(value)
    except (KeyError, TypeError, AttributeError) as error:
        message = f"not an artifact: {error!r}; select one with steps.<id>.artifacts[0]"
        raise SkillError(SKILL_INPUT_INVALID, message) from error


def file_for(artifact: Artifact, workspace: Path) -> Path:
    """Return the path for an artifact's file in a workspace: it keeps the name, and with it the suffix."""
    name = PurePosixPath(artifact.filename or "").name.replace("\0", "_")
    encoded = name.encode("utf-8", "replace")
    if len(encoded) > _NAME_BYTES:
        name = encoded[-_NAME_BYTES:].decode("utf-8", "ignore")
    return workspace / FOLDER / artifact.content_hash / (name if name not in ("", ".", "..") else "artifact")


def link(target: Path, path: Path) -> None:
    """Make `path` a symbolic link to a file of the store."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{uuid4().hex}")
    partial.symlink_to(target)
    partial.replace(path)


def copy(source: BinaryIO, path: Path) -> None:
    """Copy a stream to a read-only file: completely, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{uuid4().hex}")
    try:
        with partial.open("xb") as file:
            shutil.copyfileobj(source, file, _CHUNK_BYTES)
        partial.chmod(_READ_ONLY)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
