"""The stored form of events: one line per event, with its stored name, its version and how to read it back.

A stored event is never edited or renamed. When its form changes, raise the version in its line and add an
upcaster that converts the older form to the next; `tests/golden` holds every form ever stored.

Programs of different releases share a log. So a new field is omitted while it is not set, and an unknown field is
ignored: add a field only if it may be ignored, and raise the version for any other change. An unknown event or version
raises `NewerEvent`; its run is left to newer programs.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from typing import Any, cast

import orjson

from orchestrator.domain import events
from orchestrator.domain.errors import NeedsNewerProgram
from orchestrator.domain.output import Artifact, Output, StepError
from orchestrator.domain.workflow import format_of
from orchestrator.eventstore.formats import FORMAT, Formats

Fields = dict[str, Any]
Reader = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Codec:
    """The stored form of an event: its class, the version that is written, readers of nested fields, and upcasters.

    `upcasters[n]` converts the fields of version n to those of version n + 1. `format` is the format that added this
    version of the event, `added` maps later fields to the formats that added them, and `content_format` returns the
    format that the content of an event needs.
    """

    event: type[Any]
    version: int = 1
    nested: Mapping[str, Reader] = field(default_factory=dict)
    upcasters: Mapping[int, Callable[[Fields], Fields]] = field(default_factory=dict)
    format: int = 1
    added: Mapping[str, int] = field(default_factory=dict)
    content_format: Callable[[Any], int] = lambda _: 1


class UnreadableEvent(ValueError):
    """A stored event has a name or version that this program does not know, or its state cannot be read."""


class NewerEvent(NeedsNewerProgram, UnreadableEvent):
    """A newer program wrote the event: this one does not know its name or version."""


@cache
def _fields_of(kind: Any) -> frozenset[str]:
    return frozenset(each.name for each in fields(kind))


def _made(kind: Any, value: Fields) -> Any:
    """Return an object with these fields, ignoring the fields that a newer program added."""
    known = _fields_of(kind)
    return kind(**value) if value.keys() <= known else kind(**{name: value[name] for name in value.keys() & known})


def _output(value: Fields) -> Output:
    reference = value["data_ref"]
    return Output(
        value["data"],
        tuple(_made(Artifact, artifact) for artifact in value["artifacts"]),
        None if reference is None else _made(Artifact, reference),
    )


def _error(value: Fields) -> StepError:
    return cast("StepError", _made(StepError, value))


def _reuse(value: list[Fields]) -> tuple[events.Reuse, ...]:
    return tuple(
        events.Reuse(item["run_id"], None if item["steps"] is None else tuple(item["steps"])) for item in value
    )


def _names(value: list[str] | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(value)


CODECS: Mapping[str, Codec] = {
    "RunTriggered": Codec(
        events.RunTriggered,
        nested={"impacted": _names, "reused": _reuse, "forced": _names, "omitted": _names},
        added={"omitted": 2},
    ),
    "RunStarted": Codec(events.RunStarted),
    "RunRecovered": Codec(events.RunRecovered),
    "RunBlocked": Codec(events.RunBlocked, nested={"skills": _names}),
    "StepStarted": Codec(events.StepStarted),
    "StepCacheHit": Codec(events.StepCacheHit, nested={"output": _output}),
    "StepCompleted": Codec(events.StepCompleted, nested={"output": _output}),
    "StepFailed": Codec(events.StepFailed, nested={"error": _error}, added={"tolerated": 2}),
    "StepRetried": Codec(events.StepRetried),
    "StepOmitted": Codec(events.StepOmitted, format=2),
    "RunCompleted": Codec(events.RunCompleted, added={"omitted": 2, "failed": 2}),
    "RunFailed": Codec(events.RunFailed, nested={"error": _error}),
    "RunCancelled": Codec(events.RunCancelled),
    "WorkflowRegistered": Codec(
        events.WorkflowRegistered, content_format=lambda registered: format_of(registered.definition)
    ),
    "WorkflowRetired": Codec(events.WorkflowRetired, nested={"versions": _names}, format=2),
    "WorkflowRestored": Codec(events.WorkflowRestored, nested={"versions": _names}, format=2),
    "StepCacheInvalidated": Codec(events.StepCacheInvalidated, nested={"keys": _names}),
}

NAMES: Mapping[type[Any], str] = {codec.event: name for name, codec in CODECS.items()}


def event_format(event: events.Event) -> int:
    """Return the format that a program must know to read an event."""
    codec = CODECS[NAMES[type(event)]]
    return max(codec.format, codec.content_format(event))


def encode(event: events.Event, tenant: str, actor: str, formats: Formats | None = None) -> tuple[str, bytes]:
    """Return the stored name and state of an event: JSON `{"tenant", "actor", "data", "v"?}`.

    Fields of a format that is not finished are omitted. Without `formats`, every known format counts as finished.

    Raises:
        FormatNotFinished: the event itself needs a format that is not finished.
    """
    name = NAMES[type(event)]
    codec = CODECS[name]
    if formats is not None:
        formats.require(event_format(event), name)
    document: Fields = {"tenant": tenant, "actor": actor, "data": event}
    if codec.added:
        document["data"] = _set_fields(event, codec.added, FORMAT if formats is None else formats.finished)
    if codec.version > 1:
        document["v"] = codec.version
    return name, orjson.dumps(document)


def _set_fields(event: events.Event, added: Mapping[str, int], finished: int) -> Fields:
    """Return the fields of an event, without added fields that are not set or whose format is not finished."""
    kept: Fields = {}
    for each in fields(event):
        value = getattr(event, each.name)
        if each.name in added:
            unset = each.default if each.default_factory is MISSING else each.default_factory()
            if added[each.name] > finished or value == unset:
                continue
        kept[each.name] = value
    return kept


def decode(name: str, state: bytes) -> tuple[events.Event, str, str]:
    """Return the event, the tenant and the actor that `encode` wrote.

    Raises:
        NewerEvent: a newer program wrote the event; this one does not know its name or version.
        UnreadableEvent: the state does not match the version.
    """
    codec = CODECS.get(name)
    if codec is None:
        raise NewerEvent(f"unknown event {name!r}: a newer program wrote it")
    try:
        document = orjson.loads(state)
        data: Fields = document["data"]
        version = document.get("v", 1)
        if version > codec.version:
            raise NewerEvent(f"{name} version {version} is newer than this program ({codec.version})")
        while version < codec.version:
            data = codec.upcasters[version](data)
            version += 1
        for key, read in codec.nested.items():
            if key in data:
                data[key] = read(data[key])
        return cast("events.Event", _made(codec.event, data)), document["tenant"], document["actor"]
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError) as error:
        raise UnreadableEvent(f"the state of a {name} cannot be read: {error!r}") from error
