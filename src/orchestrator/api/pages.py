"""The documentation at `/docs`: Swagger UI, served from an installed package. Nothing is loaded from a CDN."""

from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_PACKAGE = "fastapi_offline"
_FILES = {
    "swagger-ui.js": ("swagger-ui-bundle.js", "text/javascript"),
    "swagger-ui.css": ("swagger-ui.css", "text/css"),
}
# Relative URLs, so that the pages work behind a proxy that serves them under another path.
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>orchestrator API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
_START = """SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset],
  validatorUrl: null,
});
"""
# Swagger UI sets inline styles and uses icons from data URLs; everything else comes from this server.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_CACHED_HEADERS = {**_HEADERS, "Cache-Control": "public, max-age=3600"}


async def _page(_request: Request) -> Response:
    return Response(_PAGE, media_type="text/html", headers=_HEADERS)


async def _start(_request: Request) -> Response:
    return Response(_START, media_type="text/javascript", headers=_HEADERS)


async def _file(request: Request) -> Response:
    name, media_type = _FILES[request.url.path.rpartition("/")[2]]
    return Response(_folder().joinpath(name).read_bytes(), media_type=media_type, headers=_CACHED_HEADERS)


def _folder() -> Traversable:
    return files(_PACKAGE) / "static"


def pages() -> list[Route]:
    """Return the routes of the documentation pages."""
    return [
        Route("/docs", _page, include_in_schema=False),
        Route("/docs/start.js", _start, include_in_schema=False),
        *(Route(f"/docs/{name}", _file, include_in_schema=False) for name in _FILES),
    ]
