"""Prometheus metrics: as an API endpoint, and as a minimal app for processes that do not serve the API."""

from fastapi import APIRouter
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from orchestrator.api.caller import InstallationViewer
from orchestrator.api.openapi import answers
from orchestrator.api.route import Endpoint
from orchestrator.api.services import Serving
from orchestrator.telemetry.gauges import CONTENT_TYPE, Exposition

router = APIRouter(tags=["health"], route_class=Endpoint)

_TEXT = {"content": {"text/plain": {"schema": {"type": "string"}}}}


@router.get(
    "/metrics",
    response_class=Response,
    responses={**answers(), 200: {"description": "Metrics in the Prometheus text format.", **_TEXT}},
)
async def get_metrics(serving: Serving, caller: InstallationViewer) -> Response:  # noqa: ARG001 - only for authorization
    """Return the metrics of this process and, if the database is available, those of the database."""
    return Response(await serving.exposition.text(), media_type=CONTENT_TYPE)


class Probe:
    """A minimal ASGI app that serves only `GET /metrics` and `GET /health/live`."""

    def __init__(self, exposition: Exposition) -> None:
        self._exposition = exposition

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        match scope["method"], scope["path"]:
            case "GET", "/metrics":
                answer = Response(await self._exposition.text(), media_type=CONTENT_TYPE)
            case "GET", "/health/live":
                answer = Response(b'{"status":"live"}', media_type="application/json")
            case _:
                answer = Response(status_code=404)
        await answer(scope, receive, send)
