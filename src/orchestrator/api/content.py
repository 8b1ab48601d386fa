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
    """Return the media type of an artifact: its own type if that is a media type, else a guess from its filename."""
    if _MEDIA_TYPE.fullmatch(artifact.type):
        return artifact.type
    return mimetypes.guess_type(artifact.filename or "")[0] or _UNKNOWN


def disposition(artifact: Artifact) -> str:
    """Return the Content-Disposition: always `attachment`, so that a browser never runs a skill's file as our page."""
    name = PurePosixPath(artifact.filename).name if artifact.filename else ""
    if not name:
        return "attachment"
    plain = _PLAIN.sub("_", name)
    if plain == name:
        return f'attachment; filename="{name}"'
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def etag(artifact: Artifact) -> str:
    """Return the ETag, a strong one, because equal hashes mean equal bytes."""
    return f'"{artifact.content_hash}"'


def parse_range(text: str | None, size: int) -> tuple[int, int] | None:
    """Return the range that a Range header requests of `size` bytes: the first byte, and the one after the last.

    Return None, for the full content, if there is no header, or it has another unit, is malformed or has several
    ranges.

    Raises:
        RangeNotSatisfiable: the content has no bytes in this range.
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
    """Yield the bytes of a file from `start` up to `end`, then close it. The file is read in threads."""
    with closing(file):
        left = end - start
        if start:
            await asyncio.to_thread(file.seek, start)
        while left > 0:
            chunk = await asyncio.to_thread(file.read, min(CHUNK_BYTES, left))
            if not chunk:
                raise OSError("the file was truncated while it was read")
            left -= len(chunk)
            yield chunk
