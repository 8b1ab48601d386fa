"""The ASGI app: routers, middleware, and the OpenAPI document."""

from importlib.metadata import version
from typing import Any

from fastapi import APIRouter
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from orchestrator.api import (
    artifacts,
    caching,
    deletions,
    health,
    history,
    logs,
    me,
    metrics,
    pools,
    projections,
    runs,
    steps,
    updates,
    workflows,
)
from orchestrator.api.browsers import SameSite
from orchestrator.api.compression import Compression
from orchestrator.api.guard import Guard
from orchestrator.api.incoming import IncomingBodies
from orchestrator.api.openapi import Described
from orchestrator.api.pages import pages
from orchestrator.api.services import RequestLimits, Served, serve
from orchestrator.api.telemetry import TelemetryMiddleware
from orchestrator.application.core import Core

# Most used first, because routes are matched one after the other.
ROUTERS: tuple[APIRouter, ...] = (
    runs.router,
    steps.router,
    deletions.router,
    updates.router,
    history.router,
    logs.router,
    artifacts.router,
    caching.router,
    workflows.router,
    pools.router,
    projections.router,
    health.router,
    health.probes,
    me.router,
    metrics.router,
)

# CORS: request headers that allowed origins may send, and response headers that they may read.
ASKED_BY_BROWSERS = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-None-Match",
    "Last-Event-ID",
    "traceparent",
    "X-Min-Position",
    "X-Request-Id",
)
SHOWN_TO_BROWSERS = ("Content-Range", "ETag", "Location", "Retry-After", "X-Log-Position", "X-Request-Id")


class Api(Described):
    """The app. `Guard` replaces the framework's own error handling.

    `served` holds the services that the endpoints share. Call `served.close()` to end streams and rebuilds when the
    server stops.
    """

    def __init__(self, served: Served, **options: Any) -> None:
        super().__init__(**options)
        self.served = served

    def build_middleware_stack(self) -> ASGIApp:
        """Return the router wrapped in the middleware: guard, compression, added ones, then telemetry outermost."""
        limits, settings = self.served.limits, self.served.core.settings
        app: ASGIApp = Guard(
            self.router,
            deadline=limits.deadline,
            body_bytes=limits.body_bytes,
            bodies=IncomingBodies(settings.max_requests),
            obstacle=lambda: self.served.core.log.writer.obstacle,
        )
        app = Compression(app)
        for middleware, args, kwargs in reversed(self.user_middleware):
            app = middleware(app, *args, **kwargs)
        if origins := settings.cors_origins:
            app = CORSMiddleware(
                app,
                allow_origins=origins,
                allow_methods=("DELETE", "GET", "POST", "PUT"),
                allow_headers=ASKED_BY_BROWSERS,
                expose_headers=SHOWN_TO_BROWSERS,
            )
        if not settings.auth:
            app = SameSite(app, hosts=settings.allowed_hosts, origins=settings.cors_origins)
        return TelemetryMiddleware(app, self.served.core.metrics, self.served.core.tracing)


def create_app(core: Core, limits: RequestLimits | None = None) -> Api:
    """Return the app that serves the API for a core."""
    app = Api(
        serve(core, limits or RequestLimits()),
        title="orchestrator",
        version=version("orchestrator"),
        summary="Each step once, results reused, every decision on record.",
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
    )
    app.lets_in_all = not core.settings.auth
    # Not `include_router`, which matches every request twice. The API routes go before the documentation pages.
    app.router.routes[:0] = [route for router in ROUTERS for route in router.routes]
    app.router.routes += pages()
    return app
