"""The cache epochs of tenants, kept in memory while the listener is connected."""

import asyncio
import logging

from orchestrator.cache.cold_tier import ColdTier
from orchestrator.cache.counts import CacheCounts
from orchestrator.postgres.database import Database
from orchestrator.postgres.listener import CACHE, Listener, wake

logger = logging.getLogger(__name__)


class Epochs:
    """The epochs of tenants. Each entry of a fast tier belongs to an epoch, and an invalidation starts the next one."""

    def __init__(
        self,
        database: Database,
        cold: ColdTier,
        listener: Listener,
        loop: asyncio.AbstractEventLoop,
        counts: CacheCounts,
    ) -> None:
        self._database = database
        self._cold = cold
        self._listener = listener
        self._counts = counts
        self._known: dict[str, int] = {}
        self._changes = 0
        listener.on(CACHE, lambda tenant: wake(loop, self._forget, tenant))

    def known(self, tenant: str) -> int | None:
        """Return the tenant's epoch from memory, which may be outdated, or None if unknown."""
        return self._known.get(tenant)

    async def of(self, tenant: str) -> int:
        """Return the tenant's current epoch, from memory or from the database."""
        epoch = self._known.get(tenant)
        if epoch is None or not self._listener.connected:  # no notifications of invalidations
            changes = self._changes
            epoch = await self._database.ask(self._cold.epoch, tenant)
            if changes == self._changes:
                self._known[tenant] = epoch
        return epoch

    def _forget(self, tenant: str) -> None:
        """Forget the epoch of a tenant, or of all tenants if the name is empty (notifications may have been missed)."""
        self._changes += 1
        if tenant:
            self._counts.invalidated += 1
            self._known.pop(tenant, None)
            logger.debug("cached results invalidated", extra={"tenant": tenant})
        else:
            self._known.clear()
