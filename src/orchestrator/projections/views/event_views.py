"""Views of recorded events: camelCase JSON, times in RFC 3339 UTC, and user data unchanged."""

from dataclasses import fields, is_dataclass
from typing import Any

from orchestrator.eventstore.codec import NAMES
from orchestrator.eventstore.recorded import Recorded
from orchestrator.projections.views.values import View, timestamp


def event_view(recorded: Recorded) -> View:
    """Return an event with its envelope; `data` contains its fields except the time, which is `at` in the envelope."""
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
    """Return a value with the field names of dataclasses in camelCase; mappings are user data and stay unchanged."""
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
