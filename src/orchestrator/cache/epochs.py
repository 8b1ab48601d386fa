"""Which epoch a tenant's results belong to: known without asking, as long as the listener listens."""

import asyncio
import logging

from orchestrator.cache.cold_tier import ColdTier
from orchestrator.cache.counts import CacheCounts
from orchestrator.postgres.database import Database
from orchestrator.postgres.listener import CACHE, Listener, wake

logger = logging.getLogger(__name__)


class Epochs:
    """The epochs of tenants. What is kept in a quick tier belongs to one; an invalidation begins the next."""

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
        """Return the tenant's epoch as far as it is known here: the present one, or one that is over."""
        return self._known.get(tenant)

    async def of(self, tenant: str) -> int:
        """Return the tenant's epoch."""
        epoch = self._known.get(tenant)
        if epoch is None or not self._listener.connected:  # nobody would tell us of an invalidation
            changes = self._changes
            epoch = await self._database.ask(self._cold.epoch, tenant)
            if changes == self._changes:
                self._known[tenant] = epoch
        return epoch

    def _forget(self, tenant: str) -> None:
        """An empty name stands for all tenants: notifications may have been missed."""
        self._changes += 1
        if tenant:
            self._counts.invalidated += 1
            self._known.pop(tenant, None)
            logger.debug("results were taken out of the cache", extra={"tenant": tenant})
        else:
            self._known.clear()
