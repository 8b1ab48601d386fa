"""What the endpoints stand on. Built by the composition root, handed to `create_app`, reached through `served`."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends
from starlette.requests import Request

from orchestrator.api.authentication import Authenticator
from orchestrator.api.concurrency import ConcurrencyLimit
from orchestrator.api.tenant_threads import TenantThreads
from orchestrator.application.caller import Caller
from orchestrator.application.calls import Calls
from orchestrator.application.core import Core
from orchestrator.application.feed import Feed
from orchestrator.application.run_loader import RunLoader
from orchestrator.postgres.listener import KEYS
from orchestrator.postgres.shared_calls import SharedCalls
from orchestrator.projections.rebuild.background import BackgroundRebuilds
from orchestrator.telemetry.gauges import Exposition


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Bounds on requests and answers; times are seconds.

    `deadline` counts from a request's first byte to the start of its answer. `read_wait` is how long a read
    with `X-Min-Position` waits for the read models, `readiness` how long a probe waits for the database and
    how far behind (in time) the read models may be, `heartbeat` the pause between comments of a silent stream.
    """

    deadline: float = 10.0
    body_bytes: int = 1 << 20
    read_wait: float = 2.0
    readiness: float = 2.0
    lag: float = 10.0
    heartbeat: float = 15.0


@dataclass(frozen=True, slots=True)
class Served:
    """The services, and what one app adds to them for all of its requests."""

    core: Core
    limits: RequestLimits
    feed: Feed
    shared: SharedCalls
    run_loader: RunLoader
    exposition: Exposition
    rebuilds: BackgroundRebuilds
    authenticator: Authenticator
    requests: ConcurrencyLimit
    registrations: TenantThreads
    checks: TenantThreads

    def calls(self, caller: Caller) -> Calls:
        """Return what this caller can ask."""
        return Calls(self.core, caller)

    async def reach(self, position: int | None) -> None:
        """Wait for the read models; see `Freshness.reach`."""
        await self.core.freshness.reach(position, self.limits.read_wait)

    def close(self) -> None:
        """End what goes on by itself: streams, rebuilds in the background, and what waits for a thread."""
        self.feed.close()
        self.registrations.close()
        self.checks.close()
        self.rebuilds.close()


def serve(core: Core, limits: RequestLimits) -> Served:
    """Return what the endpoints of one app share."""
    shared = SharedCalls(core.database)
    feed = Feed(core.database, core.reader, core.log, core.listener)
    core.metrics.streams.set_function(lambda: feed.watched)
    authenticator = Authenticator(core.settings, core.keys, shared, core.listener)
    core.listener.on(KEYS, feed.keys_changed)  # after the authenticator, which has to forget the key first
    return Served(
        core,
        limits,
        feed,
        shared,
        RunLoader(core.database, core.reader, limits.deadline),
        Exposition(core.metrics, core.database),
        BackgroundRebuilds(core.read_models),
        authenticator,
        ConcurrencyLimit(core.settings.max_requests, shared=bool(core.settings.auth)),
        TenantThreads("registration"),
        TenantThreads("check"),
    )


async def served(request: Request) -> Served:
    """Return what the app of a request stands on."""
    return cast("Served", request.scope["app"].served)


Serving = Annotated[Served, Depends(served)]
