"""Bodies of HTTP skills that are bytes: artifacts that are sent, and responses that become artifacts."""

import asyncio
import mimetypes
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from email.message import Message
from email.utils import collapse_rfc2231_value
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote
from uuid import uuid4

from orchestrator.domain.budget import BudgetExceeded
from orchestrator.domain.expressions import SelectorError, parse
from orchestrator.domain.output import Artifact
from orchestrator.domain.selectors import select
from orchestrator.skills.context import StepContext
from orchestrator.skills.errors import SKILL_INPUT_INVALID, SKILL_OUTPUT_INVALID, SkillError
from orchestrator.skills.inputs import artifact_of

if TYPE_CHECKING:
    import httpx

MAX_BYTES = 100 << 20
"""How long a response that becomes an artifact may be, unless the declaration says otherwise."""

_CHUNK_BYTES = 256 * 1024
_MAX_FILENAME = 200
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f:]")
_BYTES = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class ArtifactBody:
    """The body of the request is the bytes of one artifact.

    Attributes:
        artifact: a selector over the step's input, such as `picture` or `files[0]`.
        content_type: the Content-Type of the request; by default the artifact's type, if that is a media type.
    """

    artifact: str
    content_type: str | None = None

    def picked(self, document: Any) -> Artifact:
        """Return the artifact that the selector picks from an input.

        Raises:
            SkillError: SKILL_INPUT_INVALID, when it picks nothing, or something else.
        """
        try:
            found = select(self.artifact, document if isinstance(document, dict) else {})
        except (SelectorError, BudgetExceeded) as error:
            raise SkillError(SKILL_INPUT_INVALID, f"body.artifact: {error}") from error
        if found is None:
            message = f"body.artifact: {self.artifact!r} picks nothing from the input; select an artifact as this field"
            raise SkillError(SKILL_INPUT_INVALID, message)
        return artifact_of(found)


def described(artifact: Artifact, ctx: StepContext, content_type: str | None = None) -> dict[str, str]:
    """Return the headers that describe the bytes of a request and, in place of the JSON `context`, the attempt."""
    own = artifact.type if _MEDIA_TYPE.fullmatch(artifact.type) else _BYTES
    name = artifact.filename
    named = (
        {}
        if not name
        else {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='', errors='replace')}"}
    )
    return {
        "Content-Type": content_type or own,
        "Content-Length": str(artifact.size_bytes),
        **named,
        "X-Orchestrator-Run-Id": quote(ctx.run_id, safe=""),
        "X-Orchestrator-Step-Id": quote(ctx.step_id, safe=""),
        "X-Orchestrator-Attempt": str(ctx.attempt),
        "X-Orchestrator-Tenant": quote(ctx.tenant, safe=""),
    }


def selector_fault(expression: str) -> str | None:
    """Return why a selector cannot be evaluated, or None when it can."""
    try:
        parse(expression)
    except SelectorError as error:
        return str(error)
    return None


def content_type_fault(content_type: str) -> str | None:
    """Return why a Content-Type cannot be sent, or None when it can."""
    media_type, _, parameters = content_type.partition(";")
    if _MEDIA_TYPE.fullmatch(media_type.strip()) and parameters.isascii() and parameters.isprintable():
        return None
    return f"{content_type[:80]!r} is not a media type such as image/png"


async def sent(source: BinaryIO) -> AsyncIterator[bytes]:
    """Yield the bytes of a stream, which is read and closed in threads."""
    try:
        while chunk := await asyncio.to_thread(source.read, _CHUNK_BYTES):
            yield chunk
    finally:
        asyncio.get_running_loop().run_in_executor(None, source.close)


def media_type(headers: Mapping[str, str]) -> str:
    """Return the media type of a response in lower case, without parameters; empty if it names none."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def is_json(kind: str) -> bool:
    """Return whether a response of a media type is JSON. One without a type is."""
    return kind in ("", "application/json") or kind.endswith("+json")


async def received(response: "httpx.Response", ctx: StepContext, url: str, max_bytes: int) -> Path:
    """Write the body of a response to a file of the workspace, and return its path.

    Raises:
        SkillError: SKILL_OUTPUT_INVALID, when it is longer than `max_bytes`.
        WorkerUnfit, OSError: the workspace cannot be written.
    """
    path = await asyncio.to_thread(lambda: ctx.workspace / f".{uuid4().hex}")
    size = 0
    file = await asyncio.to_thread(path.open, "xb")
    try:
        async for chunk in response.aiter_bytes(_CHUNK_BYTES):
            size += len(chunk)
            if size > max_bytes:
                message = f"the response of {url} is longer than {max_bytes} bytes; raise maxBytes of the skill"
                raise SkillError(SKILL_OUTPUT_INVALID, message)
            await asyncio.to_thread(file.write, chunk)
    finally:
        await asyncio.to_thread(file.close)
    return path


async def stored(path: Path, headers: Mapping[str, str], ctx: StepContext) -> dict[str, Any]:
    """Store a response as an artifact of the step, and return data that describes it."""
    given, kind = headers.get("content-type", "").strip(), media_type(headers)
    kind = kind if _MEDIA_TYPE.fullmatch(kind) else _BYTES
    name = filename(headers.get("content-disposition", "")) or f"response{mimetypes.guess_extension(kind) or '.bin'}"
    metadata = {"contentType": given} if ";" in given and given.isprintable() else None
    made = await asyncio.to_thread(ctx.artifact, path, kind, name, metadata)
    return {"contentType": kind, "filename": name, "sizeBytes": made.size_bytes}


def filename(disposition: str) -> str | None:
    """Return the filename of a Content-Disposition (RFC 6266), without folders, or None if it names none."""
    message = Message()
    message["Content-Disposition"] = _UNSAFE.sub(" ", disposition)
    parameters: list[tuple[str, Any]] = list(message.get_params([], "content-disposition"))
    names = [value for key, value in parameters if key.lower() == "filename"]
    encoded = [value for value in names if isinstance(value, tuple)]  # `filename*` wins over `filename`
    best = collapse_rfc2231_value([*encoded, *names, ""][0])
    found = best.encode("utf-8", "replace").decode()
    name = _UNSAFE.sub("_", PurePosixPath(found.replace("\\", "/")).name)[-_MAX_FILENAME:]
    return None if name in ("", ".", "..") else name
