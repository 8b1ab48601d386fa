"""Downloads of artifacts and data: resumed when interrupted, verified against the hash, complete or not at all."""

import hashlib
import io
import os
import re
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from orchestrator.client.errors import ArtifactElsewhere, ClientError, ContentDamaged
from orchestrator.client.exchange import Exchange, OpenAnswer, Request

_PARTIAL = 206
_ELSEWHERE = 307
_TAG = re.compile(r'"[0-9a-f]{64}"')


class Fetching:
    """The download of the content at a path of the server."""

    def __init__(self, exchange: Exchange, path: str) -> None:
        self._exchange = exchange
        self._path = path
        self._received = 0
        self._furthest = 0
        self._tag = ""
        self._elsewhere: str | None = None
        self._hash = hashlib.sha256()

    async def content(self) -> bytes:
        """Return the bytes; see `Reads.content`."""
        memory = io.BytesIO()
        await self._fetch(memory)
        return memory.getvalue()

    async def download(self, target: str | os.PathLike[str]) -> None:
        """Write the bytes to a file; see `Reads.download`."""
        path = Path(target)
        apart = self._exchange.wire.apart
        file = await apart(_open_beside, path)
        partial = Path(file.name)
        try:
            try:
                await self._fetch(file)
            finally:
                await apart(file.close)
            await apart(partial.replace, path)
        except BaseException:
            await apart(partial.unlink, True)  # the file is missing if the download was cancelled after the rename
            raise

    async def _fetch(self, file: BinaryIO) -> None:
        trials = self._exchange.trials()
        while True:
            try:
                async with self._opened() as answer:
                    if answer.status == _ELSEWHERE:
                        self._follow(answer)
                        continue
                    await self._begin(answer, file)
                    async for chunk in answer.chunks:
                        await self._exchange.wire.apart(file.write, chunk)
                        self._hash.update(chunk)
                        self._received += len(chunk)
                        if self._received > self._furthest:
                            self._furthest = self._received
                            trials.reset()
            except ClientError as error:
                self._elsewhere = None  # its address is valid only for a while: the server names a new one
                await self._exchange.wire.pause(trials.pause_after(error))
            else:
                break
        if self._tag and self._tag != f'"{self._hash.hexdigest()}"':
            raise ContentDamaged(f"{self._path} is damaged: the received bytes do not have the hash {self._tag}")

    def _opened(self) -> AbstractAsyncContextManager[OpenAnswer]:
        if self._elsewhere is None:
            return self._exchange.opened(self._request())
        headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
        if self._received:
            headers["Range"] = f"bytes={self._received}-"
        return self._exchange.opened_elsewhere(self._elsewhere, headers)

    def _follow(self, answer: OpenAnswer) -> None:
        """Continue at the address of the server's store. Of an external one, there is no hash to compare."""
        tag, location = answer.headers.get("ETag", ""), answer.headers.get("Location", "")
        if not _TAG.fullmatch(tag):
            raise ArtifactElsewhere(self._path.split("/")[2], location)
        if tag != self._tag:
            self._received, self._hash = 0, hashlib.sha256()
        self._tag, self._elsewhere = tag, location

    def _request(self) -> Request:
        headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
        if self._received and self._tag:
            headers |= {"Range": f"bytes={self._received}-", "If-Range": self._tag}
        return Request("GET", self._path, headers=headers)

    async def _begin(self, answer: OpenAnswer, file: BinaryIO) -> None:
        """Resume at the last received byte if the server sends only the rest; otherwise start over."""
        if answer.status != _PARTIAL:
            await self._exchange.wire.apart(file.seek, 0)
            await self._exchange.wire.apart(file.truncate)
            self._received, self._hash = 0, hashlib.sha256()
        if self._elsewhere is None:
            self._tag = answer.headers.get("ETag", "")


def _open_beside(path: Path) -> BinaryIO:
    """Create a temporary file in the same folder, to be renamed to `path` once it is complete."""
    return path.with_name(f".{uuid4().hex}.part").open("xb")
