"""The hot tier: Redis or Valkey, queried for all keys with one MGET, with a timeout and a circuit breaker.

A value is the SHA-256 of its key and body, followed by the body. Any other value under one of our keys is a miss.
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
    """Stores copies of results in Redis.

    If Redis is unavailable, slow, flushed or holds invalid data, the tier finds nothing. It logs an outage once.
    """

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
            retry=Retry(NoBackoff(), 1),  # one retry: a restarted server has closed every pooled connection
        )
        self._ttl_seconds = ttl_seconds
        self._timeout_seconds = timeout_seconds
        self._counts = counts or CacheCounts()
        self._warned_at = -math.inf
        self.breaker = breaker or Breaker()

    async def find(self, tenant: str, epoch: int, questions: Sequence[Question]) -> Mapping[str, Entry]:
        """Return the stored results; see `CacheTier.find`."""
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
                logger.warning("hot tier: foreign values ignored, for example under %s", foreign[0])
        return found

    async def keep(self, tenant: str, epoch: int, entries: Sequence[tuple[Question, Entry]]) -> None:
        """Store results; see `CacheTier.keep`."""
        if not entries:
            return
        pipeline = self._client.pipeline(transaction=False)
        for question, entry in entries:
            name = _name(tenant, epoch, question.key)
            pipeline.set(name, _value(name, entry), ex=min(question.ttl_seconds or self._ttl_seconds, MAX_TTL_SECONDS))
        await self._asked(pipeline.execute())

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _asked(self, call: Awaitable[T]) -> T | None:
        """Await a call up to the timeout. Return None if it failed or the breaker is open."""
        if not self.breaker.admits():
            if asyncio.iscoroutine(call):
                call.close()
            return None
        try:
            async with asyncio.timeout(self._timeout_seconds):  # `wait_for` may swallow a cancellation
                answer = await call
        except Exception as error:  # noqa: BLE001 - a fault of the cache must not fail a run
            if self.breaker.failed():
                logger.warning("hot tier unavailable, requests paused: %r", error)
            return None
        if self.breaker.is_open:
            logger.info("hot tier available again")
        self.breaker.succeeded()
        return answer


def _name(tenant: str, epoch: int, key: str) -> str:
    return f"orchestrator:{tenant}:{epoch}:{key}"


def _read(name: str, value: Any) -> Entry | None:
    """Return the entry in a value, or None if the value is not a complete entry of ours."""
    digest, body = value[:_DIGEST_BYTES], value[_DIGEST_BYTES:]
    if digest != _digest(name, body):
        return None
    try:
        return decode(body)
    except ValueError:  # written by another version of this program
        return None


def _digest(name: str, body: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + body).digest()


def _value(name: str, entry: Entry) -> bytes:
    body = encode(entry)
    return _digest(name, body) + body
