"""The web application on the core, and a small one for processes that are only watched.

Only a process that answers HTTP imports this: it waits for the web framework.
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
    """Return the application that shows the metrics of a process without an API.

    `only_local` says that it listens on loopback: then web pages that the user has open are kept out.
    """
    probe = Probe(Exposition(core.metrics, core.database))
    return SameSite(probe, hosts=core.settings.allowed_hosts, origins=()) if only_local else probe
