"""The hot tier: Redis or Valkey, asked for all keys in one MGET, with a time limit and a breaker.

A value is the SHA-256 of its key and body, then the body: whatever else lies under a key of ours is a miss.
"""

import asyncio
import hashlib
import logging
import math
import time
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, TypeVar

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from orchestrator.cache.answers import Entry, Question, TierName
from orchestrator.cache.breaker import Breaker
from orchestrator.cache.counts import CacheCounts
from orchestrator.cache.encoding import decode, encode
from orchestrator.domain.bounds import MAX_TTL_SECONDS

logger = logging.getLogger(__name__)

T = TypeVar("T")

_DIGEST_BYTES = 32
_WARN_EVERY_SECONDS = 60.0


class HotTier:
    """Copies of results in Redis. Down, slow, flushed or full of rubbish it finds nothing, and says so once."""

    name: TierName = "hot"

    def __init__(
        self,
        url: str,
        *,
        ttl_seconds: int = 86_400,
        timeout_seconds: float = 0.25,
        counts: CacheCounts | None = None,
        breaker: Breaker | None = None,
    ) -> None:
        self._client = redis.asyncio.Redis.from_url(
            url,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 1),  # once: a server that was restarted has closed every connection of the pool
        )
        self._ttl_seconds = ttl_seconds
        self._timeout_seconds = timeout_seconds
        self._counts = counts or CacheCounts()
        self._warned_at = -math.inf
        self.breaker = breaker or Breaker()

    async def find(self, tenant: str, epoch: int, questions: Sequence[Question]) -> Mapping[str, Entry]:
        """Return what is there; see `CacheTier.find`."""
        names = [_name(tenant, epoch, question.key) for question in questions]
        values = await self._asked(self._client.mget(names)) if names else None
        if values is None or len(values) != len(names):
            return {}
        found: dict[str, Entry] = {}
        foreign: list[str] = []
        for name, question, value in zip(names, questions, values, strict=True):
            if value is None:
                continue
            entry = _read(name, value)
            if entry is None:
                foreign.append(name)
            elif entry.skill == question.skill:
                found[question.key] = entry
        if foreign:
            self._counts.corrupt += len(foreign)
            if time.monotonic() - self._warned_at > _WARN_EVERY_SECONDS:
                self._warned_at = time.monotonic()
                logger.warning("the hot tier holds values that are not ours, as under %s; they are ignored", foreign[0])
        return found

    async def keep(self, tenant: str, epoch: int, entries: Sequence[tuple[Question, Entry]]) -> None:
        """Keep results; see `CacheTier.keep`."""
        if not entries:
            return
        pipeline = self._client.pipeline(transaction=False)
        for question, entry in entries:
            name = _name(tenant, epoch, question.key)
            pipeline.set(
                name, _written(name, entry), ex=min(question.ttl_seconds or self._ttl_seconds, MAX_TTL_SECONDS)
            )
        await self._asked(pipeline.execute())

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _asked(self, call: Awaitable[T]) -> T | None:
        """Await a call, for at most the time limit; None when it failed or the server is being left alone."""
        if not self.breaker.admits():
            if asyncio.iscoroutine(call):
                call.close()
            return None
        try:
            async with asyncio.timeout(self._timeout_seconds):  # `wait_for` may swallow a cancellation
                answer = await call
        except Exception as error:  # noqa: BLE001 - whatever goes wrong here may cost time, never a run
            if self.breaker.failed():
                logger.warning("the hot tier is left alone for a while: %r", error)
            return None
        if self.breaker.is_open:
            logger.info("the hot tier answers again")
        self.breaker.succeeded()
        return answer


def _name(tenant: str, epoch: int, key: str) -> str:
    return f"orchestrator:{tenant}:{epoch}:{key}"


def _read(name: str, value: Any) -> Entry | None:
    """Return the entry of a value, or None when it is not one of ours, whole."""
    digest, body = value[:_DIGEST_BYTES], value[_DIGEST_BYTES:]
    if digest != _digest(name, body):
        return None
    try:
        return decode(body)
    except ValueError:  # written by another version of this program
        return None


def _digest(name: str, body: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + body).digest()


def _written(name: str, entry: Entry) -> bytes:
    body = encode(entry)
    return _digest(name, body) + body
