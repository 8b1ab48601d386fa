"""The web application on the core, and a small one for processes that are only watched.

Only a process that answers HTTP imports this: it waits for the web framework.
"""

from dataclasses import fields

from orchestrator.api.app import Api, create_app
from orchestrator.api.figures import Probe
from orchestrator.api.services import Services
from orchestrator.bootstrap.core import Core
from orchestrator.telemetry.gauges import Exposition


def build_api(core: Core) -> Api:
    """Return the web application on the core."""
    return create_app(Services(**{field.name: getattr(core, field.name) for field in fields(Services)}))


def build_probe(core: Core) -> Probe:
    """Return the application that shows the figures of a process without an API."""
    return Probe(Exposition(core.metrics, core.database))
