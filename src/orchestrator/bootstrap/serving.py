"""Build the web application, and the small one that serves only metrics.

Only processes that serve HTTP import this module, because the web framework is slow to import.
"""

from starlette.types import ASGIApp

from orchestrator.api.app import Api, create_app
from orchestrator.api.browsers import SameSite
from orchestrator.api.metrics import Probe
from orchestrator.application.core import Core
from orchestrator.telemetry.gauges import Exposition


def build_api(core: Core) -> Api:
    """Return the web application on the core."""
    return create_app(core)


def build_probe(core: Core, *, only_local: bool) -> ASGIApp:
    """Return the application that serves the metrics of a process without an API.

    `only_local` means that it listens on loopback. Then requests from web pages in the user's browser are rejected.
    """
    probe = Probe(Exposition(core.metrics, core.database))
    return SameSite(probe, hosts=core.settings.allowed_hosts, origins=()) if only_local else probe
