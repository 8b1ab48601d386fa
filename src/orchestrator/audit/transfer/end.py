"""The last word of an export, by which a reader knows that all of it is there and nothing was changed."""

from dataclasses import dataclass
from typing import Any

from orchestrator.audit.chain import ChainHead, Tally


class DamagedExport(Exception):
    """A file is not an export, or not all of one."""


@dataclass(frozen=True, slots=True)
class ExportEnd:
    """How many events there are, and the head of a chain over exactly these."""

    events: int
    head: ChainHead


def end_of(tally: Tally) -> ExportEnd:
    """Return the last word on the events counted in."""
    return ExportEnd(tally.events, tally.head)


def end_to_json(end: ExportEnd) -> dict[str, Any]:
    """Return the last word as it is written."""
    return {"events": end.events, "position": end.head.position, "link": end.head.link}


def end_from_json(document: Any) -> ExportEnd:
    """Return what `end_to_json` wrote; raises ValueError, KeyError or TypeError when it is something else."""
    return ExportEnd(int(document["events"]), ChainHead(int(document["position"]), str(document["link"])))
