"""The hot tier: Redis or Valkey, asked for all keys in one MGET, with a time limit and a breaker.

A value is the SHA-256 of its key and body, then the body: whatever else lies under a key of ours is a miss.
"""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, TypeVar

import orjson
import redis.asyncio
from redis.exceptions import RedisError

from orchestrator.cache.answers import Entry, Question, TierName
from orchestrator.cache.breaker import Breaker
from orchestrator.domain.output import output_from_json, output_to_json

logger = logging.getLogger(__name__)

T = TypeVar("T")

_DIGEST_BYTES = 32


class HotTier:
    """Copies of results in Redis. Down, slow, flushed or full of rubbish it finds nothing, and says so once."""

    name: TierName = "hot"

    def __init__(self, url: str, *, ttl_seconds: int = 86_400, timeout_seconds: float = 0.25) -> None:
        self._client = redis.asyncio.Redis.from_url(
            url, socket_timeout=timeout_seconds, socket_connect_timeout=timeout_seconds
        )
        self._ttl_seconds = ttl_seconds
        self._timeout_seconds = timeout_seconds
        self._breaker = Breaker()
        self.corrupt = 0

    async def find(self, tenant: str, epoch: int, questions: Sequence[Question]) -> Mapping[str, Entry]:
        """Return what is there; see `CacheTier.find`."""
        names = [_name(tenant, epoch, question.key) for question in questions]
        values = await self._within_limit(self._client.mget(names)) if names else None
        found = {}
        for name, question, value in zip(names, questions, values or [None] * len(names), strict=True):
            entry = None if value is None else self._read(name, value)
            if entry is not None and entry.skill == question.skill:
                found[question.key] = entry
        return found

    async def keep(self, tenant: str, epoch: int, entries: Sequence[tuple[Question, Entry]]) -> None:
        """Keep results; see `CacheTier.keep`."""
        if not entries or self._breaker.is_open:
            return
        pipeline = self._client.pipeline(transaction=False)
        for question, entry in entries:
            name = _name(tenant, epoch, question.key)
            pipeline.set(name, _written(name, entry), ex=question.ttl_seconds or self._ttl_seconds)
        await self._within_limit(pipeline.execute())

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _within_limit(self, call: Awaitable[T]) -> T | None:
        """Await a call for at most the time limit; None when it failed or the server is being left alone."""
        if self._breaker.is_open:
            if asyncio.iscoroutine(call):
                call.close()
            return None
        try:
            answer = await asyncio.wait_for(call, self._timeout_seconds)
        except (RedisError, OSError, TimeoutError) as error:
            if self._breaker.failed():
                logger.warning("the hot tier is left alone for a while: %r", error)
            return None
        self._breaker.succeeded()
        return answer

    def _read(self, name: str, value: Any) -> Entry | None:
        """Return the entry of a value, or None when it is not one of ours, whole."""
        try:
            digest, body = value[:_DIGEST_BYTES], value[_DIGEST_BYTES:]
            if digest == _digest(name, body):
                document = orjson.loads(body)
                return Entry(document["skill"], document["run"], output_from_json(document["output"]))
        except (TypeError, ValueError, KeyError, AttributeError):
            pass
        self.corrupt += 1
        logger.warning("the hot tier holds a foreign value under %s; it is ignored", name)
        return None


def _name(tenant: str, epoch: int, key: str) -> str:
    return f"orchestrator:{tenant}:{epoch}:{key}"


def _digest(name: str, body: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + body).digest()


def _written(name: str, entry: Entry) -> bytes:
    body = orjson.dumps({"skill": entry.skill, "run": entry.source_run, "output": output_to_json(entry.output)})
    return _digest(name, body) + body
