"""The envelope: an event as the log holds it, with its position and its actor."""

from dataclasses import dataclass
from uuid import UUID, uuid5

from orchestrator.domain.events import Event

STREAM_NAMESPACE = UUID("0f3b1f52-7d0f-4a8e-9a5b-2f6f0c1d7a10")


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event and its envelope.

    `stream_id` is the run's id (or that of a workflow stream or a tenant's cache stream), `version` the event's
    1-based place in the stream, `position` its 1-based place in the whole log (0 before it is appended), and `actor`
    the worker or person that wrote it.
    """

    stream_id: str
    version: int
    position: int
    tenant: str
    actor: str
    event: Event


def workflow_stream(tenant: str, name: str) -> str:
    """Return the id of the stream that holds the versions of a workflow."""
    return str(uuid5(STREAM_NAMESPACE, f"workflow\n{tenant}\n{name}"))


def cache_stream(tenant: str) -> str:
    """Return the id of the stream that holds a tenant's cache invalidations."""
    return str(uuid5(STREAM_NAMESPACE, f"step cache\n{tenant}"))
