"""How events are written down: one line an event, with its stored name, its version and how it is read back.

A stored event is never edited or renamed. When its form changes, raise the version in its line and add an
upcaster that lifts the older form to the next; `tests/golden` holds every form ever stored.

Releases beside each other share a log. So a new field is left out when it is not set, and one that is not known is
passed over: add only what may be passed over, and raise the version for the rest. An event or a version that is not
known is a `NewerEvent`: its run is left to newer programs.
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
    """The stored form of an event: its class, the version now written, readers of nested fields, and upcasters.

    `upcasters[n]` turns the fields of version n into those of version n + 1. `format` is the one that brought this
    version of the event, `added` has those that brought single fields, and `content_format` looks into the event.
    """

    event: type[Any]
    version: int = 1
    nested: Mapping[str, Reader] = field(default_factory=dict)
    upcasters: Mapping[int, Callable[[Fields], Fields]] = field(default_factory=dict)
    format: int = 1
    added: Mapping[str, int] = field(default_factory=dict)
    content_format: Callable[[Any], int] = lambda _: 1


class UnreadableEvent(ValueError):
    """A stored event has a name or a version this program does not know, or its state cannot be read."""


class NewerEvent(NeedsNewerProgram, UnreadableEvent):
    """A stored event has a name or a version that a newer program brought."""


@cache
def _fields_of(kind: Any) -> frozenset[str]:
    return frozenset(each.name for each in fields(kind))


def _made(kind: Any, value: Fields) -> Any:
    """Return an object of its fields; those that a newer program added are passed over."""
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
    "WorkflowRegistered": Codec(
        events.WorkflowRegistered, content_format=lambda registered: format_of(registered.definition)
    ),
    "StepCacheInvalidated": Codec(events.StepCacheInvalidated, nested={"keys": _names}),
}

NAMES: Mapping[type[Any], str] = {codec.event: name for name, codec in CODECS.items()}


def event_format(event: events.Event) -> int:
    """Return the format that a program must know to read an event."""
    codec = CODECS[NAMES[type(event)]]
    return max(codec.format, codec.content_format(event))


def encode(event: events.Event, tenant: str, actor: str, formats: Formats | None = None) -> tuple[str, bytes]:
    """Return the stored name and state of an event: JSON `{"tenant", "actor", "data", "v"?}`.

    Fields of a format that is not finished are left out; without `formats` all are.

    Raises:
        FormatNotFinished: the event itself is of such a format.
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
    """Return the fields of an event without the added ones that are not set or not finished."""
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
        NewerEvent: a newer program brought the name or the version.
        UnreadableEvent: the state is not what that version writes.
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
