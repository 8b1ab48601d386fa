"""Token buckets in Redis or Valkey, shared by all processes. During an outage, each process counts by itself."""

import asyncio
import logging
import time
from collections.abc import Sequence
from pathlib import Path

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from orchestrator.access.buckets import Bucket, MemoryBuckets

logger = logging.getLogger(__name__)

_SCRIPT = Path(__file__).with_suffix(".lua").read_text(encoding="utf-8")
_OUTAGE_PAUSE_SECONDS = 5.0
_MICRO = 1_000_000


class SharedBuckets:
    """Buckets in Redis. Belongs to one event loop.

    Args:
        url: URL of the Redis server.
        timeout_seconds: maximum time to wait for Redis. After a timeout, this process counts by itself for 5 s.
    """

    def __init__(self, url: str, timeout_seconds: float) -> None:
        self._client = redis.asyncio.Redis.from_url(
            url,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 0),
        )
        self._take = self._client.register_script(_SCRIPT)
        self._timeout_seconds = timeout_seconds
        self._own = MemoryBuckets()
        self._paused_until = 0.0

    async def take(self, buckets: Sequence[Bucket], count: int = 1, *, taken: int = 0) -> tuple[float, str]:
        """Count a request in all of the buckets, or in none; see `Buckets.take`."""
        if time.monotonic() < self._paused_until:
            return await self._own.take(buckets, count, taken=taken)
        keys = [f"orchestrator:rate:{bucket.name}" for bucket in buckets]
        numbers = [
            round(seconds * _MICRO)
            for bucket in buckets
            for seconds in (
                bucket.tolerance_of(count),
                taken * bucket.interval,
                (count - taken) * bucket.interval,
            )
        ]
        try:
            wait, number = await asyncio.wait_for(self._take(keys=keys, args=numbers), self._timeout_seconds)
        except Exception as error:  # noqa: BLE001 - requests are served, whatever fails here
            self._paused_until = time.monotonic() + _OUTAGE_PAUSE_SECONDS
            logger.warning("shared rate limits unavailable, counting in this process: %r", error)
            return await self._own.take(buckets, count, taken=taken)
        return (int(wait) / _MICRO, buckets[int(number) - 1].name) if int(wait) > 0 else (0.0, "")

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
