"""Carrying a log out and in: JSON Lines, an event a line, and a last line with the head of the chain.

    {"position", "streamId", "version", "name", "state"}       state as JSON, or "base64" when it is none
    {"head": {"position", "link"}}

An import writes the same bytes at the same positions into an empty database, so the head comes out the same;
if it does not, what was imported is not what was exported.
"""

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson

from orchestrator.domain.events import RunTriggered, StepCacheInvalidated, WorkflowRegistered
from orchestrator.domain.evolve import begin, evolve
from orchestrator.domain.run import Run
from orchestrator.eventstore.inline import inline_rows
from orchestrator.eventstore.log import PostgresLog, StoredRow
from orchestrator.eventstore.recorded import Recorded
from orchestrator.eventstore.runs import FindWorkflow
from orchestrator.projections.chain import BEGINNING, ChainHead, next_link

_PAGE = 5_000
_BATCH = 1_000


class ImportRefused(Exception):
    """What is to be imported cannot be: the database is not empty, or a line is not what an export writes."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events to export: of one run, or those decided between two times (milliseconds since 1970 UTC)."""

    run_id: str | None = None
    since: int | None = None
    until: int | None = None

    @property
    def is_all(self) -> bool:
        """Whether nothing is left out; only then the export can be imported and has a head."""
        return self == Selection()

    def holds(self, recorded: Recorded) -> bool:
        """Whether an event is selected."""
        at = recorded.event.at
        return (
            (self.run_id is None or recorded.stream_id == self.run_id)
            and (self.since is None or at >= self.since)
            and (self.until is None or at < self.until)
        )


@dataclass(frozen=True, slots=True)
class ExportedEvent:
    """An event as it leaves: where it stands and the bytes of its state."""

    position: int
    stream_id: str
    version: int
    name: str
    state: bytes


def exported(log: PostgresLog, selection: Selection) -> Iterator[ExportedEvent]:
    """Yield the selected events in the order of the log."""
    position = 0
    while page := log.recorder.read_log(position, _PAGE):
        for stored in page:
            if selection.is_all or selection.holds(log.mapper.recorded(stored)):
                yield ExportedEvent(
                    stored.id, str(stored.originator_id), stored.originator_version, stored.topic, stored.state
                )
        position = page[-1].id


def json_lines(events: Iterable[ExportedEvent], *, with_head: bool) -> Iterator[bytes]:
    """Yield the lines of an export; the head, when wanted, is that of a chain over exactly these events."""
    link, position = BEGINNING, 0
    for event in events:
        if with_head:
            link, position = next_link(link, _Stored(event)), event.position
        document: dict[str, Any] = {
            "position": event.position,
            "streamId": event.stream_id,
            "version": event.version,
            "name": event.name,
        }
        if (state := _as_json(event.state)) is not None:
            document["state"] = state
        else:
            document["base64"] = base64.b64encode(event.state).decode()
        yield orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)
    if with_head:
        head = {"head": {"position": position, "link": link.hex()}}
        yield orjson.dumps(head, option=orjson.OPT_APPEND_NEWLINE)


@dataclass(slots=True)
class Importer:
    """Writes an export into an empty database, with the inline read models that belong to it."""

    log: PostgresLog
    find_workflow: FindWorkflow
    _runs: dict[str, Run] = field(default_factory=dict)
    _rows: list[StoredRow] = field(default_factory=list)
    _inline: dict[str, list[Any]] = field(default_factory=dict)
    _workflows: dict[str, int] = field(default_factory=dict)

    def run(self, lines: Iterable[bytes]) -> tuple[int, ChainHead | None]:
        """Import, and return how many events there were and the head that the export ends with.

        Raises:
            ImportRefused: the database holds events already, or a line is at fault; the lines before it have
                been imported.
        """
        if self.log.last_position():
            raise ImportRefused("the database holds events already; import into an empty one")
        head, imported = None, 0
        for number, line in enumerate(lines, 1):
            document = self._parsed(number, line)
            if "head" in document:
                head = ChainHead(document["head"]["position"], document["head"]["link"])
                continue
            if document["position"] != imported + 1:
                raise ImportRefused(f"line {number}: position {document['position']} follows {imported}; export all")
            self._take(document)
            imported += 1
        self._flush()
        return imported, head

    @staticmethod
    def _parsed(number: int, line: bytes) -> dict[str, Any]:
        try:
            document: dict[str, Any] = orjson.loads(line)
            if "head" not in document:
                UUID(document["streamId"])
                _ = document["position"], document["version"], document["name"], _state(document)
        except (ValueError, KeyError, TypeError) as error:
            raise ImportRefused(f"line {number} is not one of an export: {error!r}") from error
        return document

    def _take(self, document: dict[str, Any]) -> None:
        row: StoredRow = (document["streamId"], document["version"], document["name"], _state(document))
        recorded = self.log.mapper.from_row(UUID(row[0]), row[1], row[2], row[3], document["position"])
        rows = self._inline_rows(recorded)
        self._rows.append(row)
        for name, items in rows.items():
            self._inline.setdefault(name, []).extend(items)
        # what follows may need the definition, or must not be withdrawn with what came before
        if len(self._rows) >= _BATCH or isinstance(recorded.event, WorkflowRegistered | StepCacheInvalidated):
            self._flush()

    def _inline_rows(self, recorded: Recorded) -> dict[str, Any]:
        event, stream_id = recorded.event, recorded.stream_id
        match event:
            case WorkflowRegistered():
                number = self._workflows[stream_id] = self._workflows.get(stream_id, 0) + 1
                return {"workflow_put": [workflow_row(recorded.tenant, number, event)]}
            case StepCacheInvalidated():
                row = {
                    "tenant": recorded.tenant,
                    "keys": event.keys,
                    "workflow": event.workflow,
                    "step": event.step,
                }
                return {"cache_drop": [row]}
            case RunTriggered():
                workflow = self.find_workflow(recorded.tenant, event.workflow_name, event.workflow_version)
                run = self._runs[stream_id] = begin(stream_id, workflow, event)
            case _:
                run = evolve(self._runs[stream_id], event)
        if run.is_finished:
            del self._runs[stream_id]
        return dict(inline_rows(run, recorded.tenant, [event]))

    def _flush(self) -> None:
        if self._rows:
            self.log.restore(self._rows, self._inline)
            self._rows, self._inline = [], {}


def workflow_row(tenant: str, number: int, event: WorkflowRegistered) -> dict[str, Any]:
    """Return the catalogue's row of a registration."""
    return {
        "tenant": tenant,
        "name": event.name,
        "version": event.version,
        "number": number,
        "digest": event.digest,
        "definition": event.definition,
        "registered_at": event.at,
    }


def _as_json(state: bytes) -> Any:
    """Return a state as JSON if writing it again gives the same bytes, else None."""
    try:
        value = orjson.loads(state)
    except orjson.JSONDecodeError:
        return None
    return value if orjson.dumps(value) == state else None


def _state(document: dict[str, Any]) -> bytes:
    return base64.b64decode(document["base64"]) if "base64" in document else orjson.dumps(document["state"])


class _Stored:
    """An exported event, as the chain takes it."""

    __slots__ = ("id", "originator_id", "originator_version", "state", "topic")

    def __init__(self, event: ExportedEvent) -> None:
        self.id = event.position
        self.originator_id = UUID(event.stream_id)
        self.originator_version = event.version
        self.topic = event.name
        self.state = event.state
