"""Limits how many requests are served at the same time, in total and per tenant."""

from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.api.errors import Overloaded

_SHARE = 3


class ConcurrencyLimit:
    """Bounds the requests being served, and with them all later queues: for the database and for the commit.

    A request takes a slot once it is authenticated and its body is complete. Callers without a key, or with a slow
    connection, take none.

    Args:
        max_requests: the number of slots.
        shared: whether several tenants share the slots. A tenant may then hold at most three times as many slots as
            are free: three quarters of them if it is the only one, so there are always some left for another tenant.
    """

    def __init__(self, max_requests: int, *, shared: bool) -> None:
        self._max_requests = max_requests
        self._shared = shared
        self._taken = 0
        self._by_tenant: dict[str, int] = {}

    @contextmanager
    def slot(self, tenant: str) -> Iterator[None]:
        """Hold a slot for a tenant until the end of the `with` block.

        Raises:
            Overloaded: all slots, or all slots available to this tenant, are taken.
        """
        free, held = self._max_requests - self._taken, self._by_tenant.get(tenant, 0)
        if free <= 0:
            raise Overloaded(f"{self._max_requests:,} requests are being served already; try again in a moment")
        if self._shared and held >= _SHARE * free:
            raise Overloaded(f"{held:,} requests of this tenant are being served already; try again in a moment")
        self._taken += 1
        self._by_tenant[tenant] = held + 1
        try:
            yield
        finally:
            self._taken -= 1
            if self._by_tenant[tenant] > 1:
                self._by_tenant[tenant] -= 1
            else:
                del self._by_tenant[tenant]
