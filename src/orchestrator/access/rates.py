"""Rate limits per key and per tenant, as configured. 0 means no limit."""

from dataclasses import dataclass

from orchestrator.access.buckets import Bucket, Buckets
from orchestrator.access.identity import Identity


@dataclass(frozen=True, slots=True)
class Rates:
    """Requests per second of one key and of one tenant. A burst is as many as the rate allows in `burst_seconds`."""

    per_key: float
    per_tenant: float
    burst_seconds: float

    def __bool__(self) -> bool:
        return bool(self.per_key or self.per_tenant)

    async def wait(self, buckets: Buckets, identity: Identity, count: int = 1, *, taken: int = 0) -> tuple[float, str]:
        """Count a request. Return the seconds to wait, 0 if none, and whose limit is exceeded: `key` or `tenant`.

        For `count` and `taken`, see `Buckets.take`.
        """
        wanted = []
        if self.per_key:
            name = f"key:{identity.tenant}:{identity.credential}"
            wanted.append(Bucket(name, self.per_key, self.per_key * self.burst_seconds))
        if self.per_tenant:
            name = f"tenant:{identity.tenant}"
            wanted.append(Bucket(name, self.per_tenant, self.per_tenant * self.burst_seconds))
        seconds, name = await buckets.take(wanted, count, taken=taken)
        return seconds, name.partition(":")[0]
