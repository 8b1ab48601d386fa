"""How events are written down: one line an event, with its stored name, its version and how it is read back.

A stored event is never edited or renamed. When its form changes, raise the version in its line and add an
upcaster that lifts the older form to the next; `tests/golden` holds every form ever stored.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import orjson

from orchestrator.domain import events
from orchestrator.domain.output import Artifact, Output, StepError

Fields = dict[str, Any]
Reader = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Codec:
    """The stored form of an event: its class, the version now written, readers of nested fields, and upcasters.

    `upcasters[n]` turns the fields of version n into those of version n + 1.
    """

    event: type[Any]
    version: int = 1
    nested: Mapping[str, Reader] = field(default_factory=dict)
    upcasters: Mapping[int, Callable[[Fields], Fields]] = field(default_factory=dict)


class UnreadableEvent(ValueError):
    """A stored event has a name or a version this program does not know, or its state cannot be read."""


def _output(value: Fields) -> Output:
    reference = value["data_ref"]
    return Output(
        value["data"],
        tuple(Artifact(**artifact) for artifact in value["artifacts"]),
        None if reference is None else Artifact(**reference),
    )


def _error(value: Fields) -> StepError:
    return StepError(**value)


def _reuse(value: list[Fields]) -> tuple[events.Reuse, ...]:
    return tuple(
        events.Reuse(item["run_id"], None if item["steps"] is None else tuple(item["steps"])) for item in value
    )


def _names(value: list[str] | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(value)


CODECS: Mapping[str, Codec] = {
    "RunTriggered": Codec(events.RunTriggered, nested={"impacted": _names, "reused": _reuse, "forced": _names}),
    "RunStarted": Codec(events.RunStarted),
    "RunRecovered": Codec(events.RunRecovered),
    "RunBlocked": Codec(events.RunBlocked, nested={"skills": _names}),
    "StepStarted": Codec(events.StepStarted),
    "StepCacheHit": Codec(events.StepCacheHit, nested={"output": _output}),
    "StepCompleted": Codec(events.StepCompleted, nested={"output": _output}),
    "StepFailed": Codec(events.StepFailed, nested={"error": _error}),
    "StepRetried": Codec(events.StepRetried),
    "RunCompleted": Codec(events.RunCompleted),
    "RunFailed": Codec(events.RunFailed, nested={"error": _error}),
    "RunCancelled": Codec(events.RunCancelled),
    "WorkflowRegistered": Codec(events.WorkflowRegistered),
    "StepCacheInvalidated": Codec(events.StepCacheInvalidated, nested={"keys": _names}),
}

NAMES: Mapping[type[Any], str] = {codec.event: name for name, codec in CODECS.items()}


def encode(event: events.Event, tenant: str, actor: str) -> tuple[str, bytes]:
    """Return the stored name and state of an event: JSON `{"tenant", "actor", "data", "v"?}`."""
    name = NAMES[type(event)]
    document: Fields = {"tenant": tenant, "actor": actor, "data": event}
    version = CODECS[name].version
    if version > 1:
        document["v"] = version
    return name, orjson.dumps(document)


def decode(name: str, state: bytes) -> tuple[events.Event, str, str]:
    """Return the event, the tenant and the actor that `encode` wrote.

    Raises:
        UnreadableEvent: the name or version is unknown, or the state is not what that version writes.
    """
    codec = CODECS.get(name)
    if codec is None:
        raise UnreadableEvent(f"unknown event {name!r}")
    try:
        document = orjson.loads(state)
        fields: Fields = document["data"]
        version = document.get("v", 1)
        if version > codec.version:
            raise UnreadableEvent(f"{name} version {version} is newer than this program ({codec.version})")
        while version < codec.version:
            fields = codec.upcasters[version](fields)
            version += 1
        for key, read in codec.nested.items():
            if key in fields:
                fields[key] = read(fields[key])
        return cast("events.Event", codec.event(**fields)), document["tenant"], document["actor"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise UnreadableEvent(f"the state of a {name} cannot be read: {error!r}") from error
