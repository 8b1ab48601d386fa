"""The end record of an export. With it, a reader can verify that the export is complete and unchanged."""

from dataclasses import dataclass
from typing import Any

from orchestrator.audit.chain import ChainHead, Tally


class DamagedExport(Exception):
    """A file is not an export, or is incomplete or changed."""


@dataclass(frozen=True, slots=True)
class ExportEnd:
    """The end record: the number of events, and the chain head of exactly these events."""

    events: int
    head: ChainHead


def end_of(tally: Tally) -> ExportEnd:
    """Return the end record for the counted events."""
    return ExportEnd(tally.events, tally.head)


def end_to_json(end: ExportEnd) -> dict[str, Any]:
    """Return the JSON form of an end record."""
    return {"events": end.events, "position": end.head.position, "link": end.head.link}


def end_from_json(document: Any) -> ExportEnd:
    """Return the end record from its JSON form; raises ValueError, KeyError or TypeError if it is invalid."""
    return ExportEnd(int(document["events"]), ChainHead(int(document["position"]), str(document["link"])))
