"""How recorded events are shown: camelCase JSON, times in RFC 3339 UTC, and what users wrote exactly as they did."""

from dataclasses import fields, is_dataclass
from typing import Any

from orchestrator.eventstore.codec import NAMES
from orchestrator.eventstore.recorded import Recorded
from orchestrator.projections.views.values import View, timestamp


def event_view(recorded: Recorded) -> View:
    """Return an event with its envelope; `data` holds its fields but for the time, which is the envelope's `at`."""
    event = recorded.event
    data = _shown(event)
    at = data.pop("at")
    return {
        "version": recorded.version,
        "position": recorded.position,
        "type": NAMES[type(event)],
        "at": at,
        "actor": recorded.actor,
        "data": data,
    }


def _shown(value: Any) -> Any:
    """Return a value of ours with its field names in camelCase; mappings belong to users and stay as they are."""
    if is_dataclass(value):
        return {_camel(field.name): _shown_field(field.name, getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [_shown(item) for item in value]
    return value


def _shown_field(name: str, value: Any) -> Any:
    if isinstance(value, int) and (name == "at" or name.endswith("_at")):
        return timestamp(value)
    return _shown(value)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
