"""The web application on the core, and a small one for processes that are only watched."""

from dataclasses import fields
from typing import TYPE_CHECKING

from orchestrator.bootstrap.core import Core

if TYPE_CHECKING:
    from orchestrator.api.app import Api
    from orchestrator.api.figures import Probe


def build_api(core: Core) -> "Api":
    """Return the web application on the core."""
    # Only a process that serves HTTP waits for the web framework.
    from orchestrator.api.app import create_app  # noqa: PLC0415
    from orchestrator.api.services import Services  # noqa: PLC0415

    return create_app(Services(**{field.name: getattr(core, field.name) for field in fields(Services)}))


def build_probe(core: Core) -> "Probe":
    """Return the application that shows the figures of a process without an API."""
    from orchestrator.api.figures import Probe  # noqa: PLC0415
    from orchestrator.telemetry.gauges import Exposition  # noqa: PLC0415

    return Probe(Exposition(core.metrics, core.database))
