"""Telemetry: gives every request an id, counts it, and traces it if tracing is on.

Pure ASGI, the outermost middleware: every response passes through it, including errors.
"""

from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.telemetry.metrics import Metrics
from orchestrator.telemetry.request_id import REQUEST_ID, request_id
from orchestrator.telemetry.tracing import Tracing, answered

_NO_ROUTE = "none"
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


class TelemetryMiddleware:
    """Middleware that records the metrics and the trace of each request, and sets `X-Request-Id`."""

    def __init__(self, app: ASGIApp, metrics: Metrics, tracing: Tracing) -> None:
        self._app = app
        self._metrics = metrics
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        given = trace = None
        for header, value in scope["headers"]:
            if header == b"x-request-id":
                given = value
            elif header == b"traceparent":
                trace = value.decode("latin-1")
        name = request_id(given)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-request-id", name.encode())]
                self._metrics.answered(method(scope), route(scope), message["status"], perf_counter() - began)
            await send(message)

        token = REQUEST_ID.set(name)
        try:
            if self._tracing.is_on:
                await self._traced(scope, receive, answer, trace)
            else:
                await self._app(scope, receive, answer)
        finally:
            REQUEST_ID.reset(token)

    async def _traced(self, scope: Scope, receive: Receive, send: Send, trace: str | None) -> None:
        """Serve one request within its own span."""
        with self._tracing.request(method(scope), scope["path"], trace) as span:

            async def answer(message: Message) -> None:
                if message["type"] == "http.response.start":
                    answered(span, method(scope), route(scope), message["status"])
                await send(message)

            await self._app(scope, receive, answer)


def method(scope: Scope) -> str:
    """Return the method of a request, or `other` if it is not a standard one."""
    given: str = scope["method"]
    return given if given in _METHODS else "other"


def route(scope: Scope) -> str:
    """Return the path template of the matched route, or `none` if no route has matched so far."""
    return getattr(scope.get("route"), "path", _NO_ROUTE)
