"""An event-sourced workflow orchestrator: it executes each step once, reuses results and records every decision."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.client import ApiError, AsyncClient, Client, ClientError
    from orchestrator.domain.output import Artifact
    from orchestrator.domain.workflow import Workflow
    from orchestrator.skills import SkillError, StepContext, skill
    from orchestrator.testing import run

__all__ = [
    "ApiError",
    "Artifact",
    "AsyncClient",
    "Client",
    "ClientError",
    "SkillError",
    "StepContext",
    "Workflow",
    "run",
    "skill",
]

# Imported lazily, so that `orchestrator --help` does not wait for imports that only skills need.
_HOMES = {
    "ApiError": "orchestrator.client",
    "Artifact": "orchestrator.domain.output",
    "AsyncClient": "orchestrator.client",
    "Client": "orchestrator.client",
    "ClientError": "orchestrator.client",
    "SkillError": "orchestrator.skills",
    "StepContext": "orchestrator.skills",
    "Workflow": "orchestrator.domain.workflow",
    "run": "orchestrator.testing",
    "skill": "orchestrator.skills",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)
