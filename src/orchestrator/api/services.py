"""The services that the endpoints of an app share. `create_app` builds them with `serve`; endpoints use `Serving`."""

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
from orchestrator.application.pools import Pools
from orchestrator.application.run_loader import RunLoader
from orchestrator.application.step_logs import StepLogs
from orchestrator.postgres.listener import KEYS
from orchestrator.postgres.shared_calls import SharedCalls
from orchestrator.projections.rebuild.background import BackgroundRebuilds
from orchestrator.telemetry.gauges import Exposition


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Limits on requests and responses. All times are in seconds.

    Attributes:
        deadline: maximum time from the first byte of a request to the start of its response.
        body_bytes: maximum size of a request body.
        read_wait: how long a read with `X-Min-Position` waits for the read models.
        readiness: how long the readiness probe waits for the database.
        lag: how far the read models may lag behind for the server to be ready.
        heartbeat: interval between the comments in an idle event stream.
    """

    deadline: float = 10.0
    body_bytes: int = 1 << 20
    read_wait: float = 2.0
    readiness: float = 2.0
    lag: float = 10.0
    heartbeat: float = 15.0


@dataclass(frozen=True, slots=True)
class Served:
    """The core, and the services that the requests of one app share."""

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
    pools: Pools

    @property
    def step_logs(self) -> StepLogs:
        """The logs of steps."""
        core = self.core
        return StepLogs(core.database, core.reader, core.store, core.workflows.get)

    def calls(self, caller: Caller) -> Calls:
        """Return the application calls, on behalf of a caller."""
        return Calls(self.core, caller)

    async def reach(self, position: int | None) -> None:
        """Wait until the read models have reached a position; see `Freshness.reach`."""
        await self.core.freshness.reach(position, self.limits.read_wait)

    def close(self) -> None:
        """End event streams, polls, background rebuilds, and work that waits for a thread."""
        self.feed.close()
        self.pools.close()
        self.registrations.close()
        self.checks.close()
        self.rebuilds.close()


def serve(core: Core, limits: RequestLimits) -> Served:
    """Build the services that the endpoints of one app share."""
    shared = SharedCalls(core.database)
    feed = Feed(core.database, core.reader, core.log, core.listener)
    core.metrics.streams.set_function(lambda: feed.watched)
    authenticator = Authenticator(core.settings, core.keys, shared, core.listener)
    core.listener.on(KEYS, feed.keys_changed)  # after the authenticator, which must forget the key first
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
        Pools(core),
    )


async def served(request: Request) -> Served:
    """Return the services of the app that serves a request."""
    return cast("Served", request.scope["app"].served)


Serving = Annotated[Served, Depends(served)]
