"""Workflow definitions, read from files or documents or written in Python, and the workflow registry."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.workflows.builder import define, literal, step
    from orchestrator.workflows.document import load_document, load_file
    from orchestrator.workflows.payload import check_payload
    from orchestrator.workflows.validate import faults, warnings

__all__ = ["check_payload", "define", "faults", "literal", "load_document", "load_file", "step", "warnings"]

# Imported lazily: a process that only checks payloads, or recovers runs, does not need the document readers.
_HOMES = {
    "check_payload": "payload",
    "define": "builder",
    "faults": "validate",
    "literal": "builder",
    "load_document": "document",
    "load_file": "document",
    "step": "builder",
    "warnings": "validate",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
