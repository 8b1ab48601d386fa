"""The bytes of an artifact over HTTP: conditions, ranges and names (RFC 9110, RFC 6266)."""

import asyncio
import mimetypes
import re
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import PurePosixPath
from typing import BinaryIO
from urllib.parse import quote

from orchestrator.api.errors import RangeNotSatisfiable
from orchestrator.domain.output import Artifact

CHUNK_BYTES = 256 * 1024

_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}(; ?[a-z0-9-]+=[A-Za-z0-9._-]+)*")
_RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))")
_PLAIN = re.compile(r"[^A-Za-z0-9!#$&+.^_`|~ -]")
_UNKNOWN = "application/octet-stream"


def content_type(artifact: Artifact) -> str:
    """Return the media type of an artifact: its own type when that is one, else what its filename suggests."""
    if _MEDIA_TYPE.fullmatch(artifact.type):
        return artifact.type
    return mimetypes.guess_type(artifact.filename or "")[0] or _UNKNOWN


def disposition(artifact: Artifact) -> str:
    """Return the Content-Disposition: always a download, so that nothing a skill made runs as a page of ours."""
    name = PurePosixPath(artifact.filename).name if artifact.filename else ""
    if not name:
        return "attachment"
    plain = _PLAIN.sub("_", name)
    if plain == name:
        return f'attachment; filename="{name}"'
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def etag(artifact: Artifact) -> str:
    """Return the entity tag: strong, since equal hashes mean equal bytes."""
    return f'"{artifact.content_hash}"'


def parse_range(text: str | None, size: int) -> tuple[int, int] | None:
    """Return the first byte and the one after the last that a Range header asks for, of content of `size` bytes.

    None stands for all of it: there is no header, it has another unit, is malformed or asks for several ranges.

    Raises:
        RangeNotSatisfiable: there are no such bytes.
    """
    found = _RANGE.fullmatch(text.replace(" ", "")) if text else None
    if found is None:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        start, end = max(0, size - int(suffix)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return None
    if start >= end:
        raise RangeNotSatisfiable(f"the artifact has {size} bytes, none of {text}", sizeBytes=size)
    return start, end


async def chunks(file: BinaryIO, start: int, end: int) -> AsyncIterator[bytes]:
    """Yield the bytes of a file from `start` up to `end` and close it; reading happens in threads."""
    with closing(file):
        left = end - start
        if start:
            await asyncio.to_thread(file.seek, start)
        while left > 0:
            chunk = await asyncio.to_thread(file.read, min(CHUNK_BYTES, left))
            if not chunk:
                raise OSError("the file is shorter than it was")
            left -= len(chunk)
            yield chunk
