"""The output of a step: small JSON data, and artifacts stored under the hash of their content."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid5

ARTIFACT_NAMESPACE = UUID("6c0cfe5e-5d1d-4bb8-8d7f-2d0b3a4f9c11")


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file that a step produced, or a URI that it registered.

    `content_hash` is the SHA-256 of the bytes in lower-case hex (empty for an external URI whose bytes
    we never read); `size_bytes` is -1 when unknown. `id` is derived from tenant, content hash and type.
    """

    id: str
    type: str
    uri: str
    content_hash: str
    size_bytes: int
    filename: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Output:
    """The result of a step: `data` is JSON; `data_ref` refers to it when it is too large for the log."""

    data: Any = None
    artifacts: tuple[Artifact, ...] = ()
    data_ref: Artifact | None = None


@dataclass(frozen=True, slots=True)
class StepError:
    """Why an attempt failed: a code for programs, a message for people, and details for debugging."""

    code: str
    message: str
    details: Mapping[str, Any] = field(default_factory=dict)
    retryable: bool = True
    retry_after_ms: int | None = None


def artifact_id(tenant: str, content_hash: str, artifact_type: str) -> str:
    """Return the deterministic id of an artifact (a UUIDv5 of tenant, content hash and type)."""
    return str(uuid5(ARTIFACT_NAMESPACE, f"{tenant}\n{content_hash}\n{artifact_type}"))


def output_to_json(output: Output) -> dict[str, Any]:
    """Return the JSON form of an output, as stored in the step cache and in the read models."""
    document: dict[str, Any] = {"data": output.data}
    if output.artifacts:
        document["artifacts"] = [artifact_to_json(artifact) for artifact in output.artifacts]
    if output.data_ref is not None:
        document["dataRef"] = artifact_to_json(output.data_ref)
    return document


def output_from_json(document: Mapping[str, Any]) -> Output:
    """Return the output for a document that `output_to_json` wrote."""
    reference = document.get("dataRef")
    return Output(
        document.get("data"),
        tuple(artifact_from_json(item) for item in document.get("artifacts", ())),
        artifact_from_json(reference) if reference else None,
    )


def artifact_to_json(artifact: Artifact) -> dict[str, Any]:
    """Return the JSON form of an artifact (camelCase, as selectors see it)."""
    return {
        "id": artifact.id,
        "type": artifact.type,
        "uri": artifact.uri,
        "contentHash": artifact.content_hash,
        "sizeBytes": artifact.size_bytes,
        "filename": artifact.filename,
        "metadata": dict(artifact.metadata),
    }


def artifact_from_json(document: Mapping[str, Any]) -> Artifact:
    """Return the artifact for a document that `artifact_to_json` wrote."""
    return Artifact(
        document["id"],
        document["type"],
        document["uri"],
        document["contentHash"],
        document["sizeBytes"],
        document.get("filename"),
        document.get("metadata") or {},
    )
