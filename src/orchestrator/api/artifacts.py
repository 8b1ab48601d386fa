"""Endpoints for artifacts: list those of a run, and get the bytes of one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, BinaryIO
from uuid import UUID

from fastapi import APIRouter, Header, Path, Query
from starlette.responses import Response, StreamingResponse

from orchestrator.api import shapes
from orchestrator.api.answers import Json, is_match, rendered
from orchestrator.api.caller import Viewer
from orchestrator.api.content import chunks, content_type, disposition, etag, parse_range
from orchestrator.api.openapi import NO_RUN, MinPosition, RunId, answers
from orchestrator.api.route import Endpoint
from orchestrator.api.runs import BASE
from orchestrator.api.services import Served, Serving
from orchestrator.artifacts import ArtifactGone, ArtifactStore
from orchestrator.domain.output import Artifact

router = APIRouter(prefix=BASE, tags=["artifacts"], route_class=Endpoint)

_OUTSIDE = ("http://", "https://")
_BINARY = {"schema": {"type": "string", "format": "binary"}}
# The response may have any type, but client generators only handle the first.
_BYTES = {"content": {"application/octet-stream": _BINARY, "*/*": _BINARY}}
# Content addressed by its hash never changes. A skill wrote it, so a browser must not run it as one of our pages.
_HEADERS = {
    "Cache-Control": "private, max-age=31536000, immutable",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
}


@router.get("/runs/{runId}/artifacts", response_model=shapes.RunArtifacts, responses=answers(*NO_RUN))
async def list_artifacts(
    serving: Serving,
    caller: Viewer,
    run_id: RunId,
    step_id: Annotated[str | None, Query(alias="stepId", min_length=1, max_length=255)] = None,
    min_position: MinPosition = None,
) -> Response:
    """Return the artifacts of the completed and skipped steps of a run, including reused ones."""
    await serving.reach(min_position)
    found = await serving.calls(caller).artifacts(str(run_id), step_id=step_id)
    return Json(await rendered({"runId": str(run_id), "artifacts": found}))


Wanted = Annotated[str | None, Header(alias="Range", description="One range of bytes.")]
IfRange = Annotated[
    str | None, Header(alias="If-Range", description="An ETag. If it does not match, the full content is sent.")
]
IfNoneMatch = Annotated[str | None, Header(alias="If-None-Match", description="ETags that the client already has.")]


@router.get(
    "/runs/{runId}/steps/{stepId}/data",
    response_class=StreamingResponse,
    responses={
        **answers(400, 404, 410, 416),
        200: {"description": "The data; null if there is none yet.", "content": {"application/json": {"schema": {}}}},
        206: {"description": "The requested range of stored data.", **_BYTES},
        304: {"description": "Not modified: the client already has the data."},
    },
)
async def get_data(
    serving: Serving,
    caller: Viewer,
    *,
    run_id: RunId,
    step_id: Annotated[str, Path(alias="stepId", min_length=1, max_length=255, description="Id of a step.")],
    wanted: Wanted = None,
    if_range: IfRange = None,
    if_none_match: IfNoneMatch = None,
    min_position: MinPosition = None,
) -> Response:
    """Return the data of a step, whatever its size. Stored data is verified against the recorded hash first."""
    core = serving.core
    await serving.reach(min_position)
    output = await core.database.call(core.reader.output, caller.tenant, str(run_id), step_id)
    if output is None or output.data_ref is None:
        return Json(None if output is None else output.data)
    headers = {"Content-Type": "application/json", "Accept-Ranges": "bytes"}
    conditions = Conditions(wanted, if_range, if_none_match)
    return await _stored(serving, caller.tenant, output.data_ref, conditions, headers=headers)


@router.get(
    "/artifacts/{artifactId}/content",
    response_class=StreamingResponse,
    responses={
        **answers(404, 410, 416),
        200: {"description": "The bytes, with the artifact's media type.", **_BYTES},
        206: {"description": "The requested range.", **_BYTES},
        304: {"description": "Not modified: the client already has the content."},
        307: {
            "description": "The content is at the URL in `Location`: an external one, or, with an `ETag`, the store's."
        },
    },
)
async def get_artifact_content(
    serving: Serving,
    caller: Viewer,
    *,
    artifact_id: Annotated[UUID, Path(alias="artifactId", description="Id of an artifact.")],
    wanted: Wanted = None,
    if_range: IfRange = None,
    if_none_match: IfNoneMatch = None,
    min_position: MinPosition = None,
) -> Response:
    """Return the bytes of an artifact, after verifying them against the recorded hash."""
    await serving.reach(min_position)
    artifact = await serving.calls(caller).artifact(str(artifact_id))
    if artifact.uri.startswith(_OUTSIDE):
        return Response(status_code=307, headers={"Location": artifact.uri})
    named = {"Content-Type": content_type(artifact), "Content-Disposition": disposition(artifact)}
    tag, seconds = etag(artifact), serving.core.settings.artifact_redirect_seconds
    if seconds and not is_match(if_none_match, tag):
        store, tenant = serving.core.store, caller.tenant
        url = await serving.checks.run(tenant, store.signed_url, artifact, tenant, seconds, named)
        if url is not None:  # the client follows it without its key, and compares the hash in the ETag
            return Response(status_code=307, headers={"Location": url, "ETag": tag, "Cache-Control": "no-store"})
    conditions = Conditions(wanted, if_range, if_none_match)
    headers = {**_HEADERS, "Accept-Ranges": "bytes"}
    return await _stored(serving, caller.tenant, artifact, conditions, headers=headers, named=named)


@dataclass(frozen=True, slots=True)
class Conditions:
    """The headers of a request that decide which part of the content is sent, if any."""

    wanted: str | None
    if_range: str | None
    if_none_match: str | None


async def _stored(
    serving: Served,
    tenant: str,
    artifact: Artifact,
    conditions: Conditions,
    *,
    headers: Mapping[str, str],
    named: Mapping[str, str] | None = None,
) -> Response:
    """Return the response with stored bytes. `named` are headers that a 304 does not have."""
    tag = etag(artifact)
    headers = {**headers, "ETag": tag}
    if is_match(conditions.if_none_match, tag):
        return Response(status_code=304, headers=headers)
    span = parse_range(conditions.wanted, artifact.size_bytes) if conditions.if_range in (None, tag) else None
    file = await serving.checks.run(tenant, _open_intact, serving.core.store, artifact, tenant)
    start, end = span or (0, artifact.size_bytes)
    headers |= {**(named or {}), "Content-Length": str(end - start)}
    if span is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{artifact.size_bytes}"
    return StreamingResponse(chunks(file, start, end), 200 if span is None else 206, headers)


def _open_intact(store: ArtifactStore, artifact: Artifact, tenant: str) -> BinaryIO:
    """Verify the bytes of an artifact and open it.

    Raises:
        ArtifactGone: the bytes are missing or were altered.
        StoreUnavailable: the store cannot be used now.
    """
    reason = store.fault(artifact)
    if reason is not None:
        raise ArtifactGone(f"artifact {artifact.id} is {reason}", artifactId=artifact.id, reason=reason)
    return store.open(artifact, tenant)
