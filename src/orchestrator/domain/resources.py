"""What an attempt needs of the machine that executes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Resources:
    """What an attempt needs: cores, bytes of memory and GPUs. None means that it does not matter."""

    cpu: float | None = None
    memory_bytes: int | None = None
    gpu: float | None = None


ANY = Resources()
"""Any machine will do."""


def resources_to_json(resources: Resources) -> dict[str, Any]:
    """Return the document of resources; what does not matter is left out."""
    named = {"cpu": resources.cpu, "memory": resources.memory_bytes, "gpu": resources.gpu}
    return {name: value for name, value in named.items() if value is not None}


def resources_from_json(document: Mapping[str, Any]) -> Resources:
    """Return the resources for a document that was already validated."""
    return Resources(document.get("cpu"), document.get("memory"), document.get("gpu"))
