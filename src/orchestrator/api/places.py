"""Places: how many requests are served at once, and how many of them for one tenant."""

from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.api.errors import Overloaded

_SHARE = 3


class Places:
    """Bounds the requests that are being served, and thereby all queues behind: for the database, for the commit.

    A request takes a place once it is known who makes it and its body is there: whoever shows no key, or sends slowly,
    takes none.

    Args:
        most: how many there are.
        shared: whether several tenants share them. Then one tenant gets at most three times as many as are left free:
            alone it gets three quarters, and a newcomer always finds some.
    """

    def __init__(self, most: int, *, shared: bool) -> None:
        self._most = most
        self._shared = shared
        self._taken = 0
        self._by_tenant: dict[str, int] = {}

    @contextmanager
    def held(self, tenant: str) -> Iterator[None]:
        """Hold a place for a tenant.

        Raises:
            Overloaded: all places, or all those of the tenant, are taken.
        """
        free, held = self._most - self._taken, self._by_tenant.get(tenant, 0)
        if free <= 0:
            raise Overloaded(f"{self._most:,} requests are being served already; try again in a moment")
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
