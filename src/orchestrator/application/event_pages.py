"""Pages of a run's history, in both directions, of some types and of one step."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

from orchestrator.application.core import Core
from orchestrator.application.errors import InvalidRequest
from orchestrator.domain.errors import Fault
from orchestrator.eventstore.codec import NAMES
from orchestrator.eventstore.recorded import Recorded
from orchestrator.projections.views.event_views import event_view

MAX_EVENTS = 1000
"""The most events of a page."""

_BATCH = 500
_MAX_SEARCHED = 5000
"""How many events one request looks at for those of a step, so a page may be short or empty and still have a next."""
_END = 2**63 - 1
_MAX_LETTERS = 100


@dataclass(frozen=True, slots=True)
class EventQuery:
    """Which events of a run to return.

    Attributes:
        order: `asc`, oldest first, or `desc`, newest first.
        edge: the version of an event: only those after it are returned or, in descending order, those before it.
        types: only events of these types.
        step_id: only events of this step.
        limit: maximum number of events, 1 to 1000.
    """

    order: Literal["asc", "desc"] = "asc"
    edge: int | None = None
    types: Sequence[str] | None = None
    step_id: str | None = None
    limit: int = 200


def read_event_page(core: Core, tenant: str, run_id: str, query: EventQuery) -> dict[str, Any]:
    """Return `{events, nextCursor, total}`; `total` is the number of all events of the run. Synchronous.

    Raises:
        InvalidRequest: the run has not reached this version, or there is no such type of events.
        RunNotFound: there is no run with this id, or it belongs to another tenant.
    """
    _check_types(query.types)
    core.reader.history(tenant, run_id, 0, 1)
    total = core.log.read_part(run_id, _END, 1, backwards=True)[0].version
    backwards = query.order == "desc"
    if query.edge is not None and query.edge > total + backwards:
        field = "before" if backwards else "after"
        raise InvalidRequest([Fault(field, f"the run has no event {query.edge}; its last is {total}")])
    edge = query.edge if query.edge is not None else (_END if backwards else 0)
    found, following = _search(core, run_id, query, edge)
    return {"events": [event_view(recorded) for recorded in found], "nextCursor": following, "total": total}


def _search(core: Core, run_id: str, query: EventQuery, edge: int) -> tuple[list[Recorded], int | None]:
    """Return the events of a page, and the edge of the next one, or None if this is the last."""
    backwards, searched = query.order == "desc", 0
    batch = query.limit + 1 if query.step_id is None else _BATCH
    found: list[Recorded] = []
    while True:
        events = core.log.read_part(run_id, edge, batch, backwards=backwards, names=query.types)
        searched += len(events)
        found += [each for each in events if query.step_id in {None, getattr(each.event, "step", None)}]
        if len(found) > query.limit:
            return found[: query.limit], found[query.limit - 1].version
        if len(events) < batch:
            return found, None
        edge = events[-1].version
        if searched >= _MAX_SEARCHED:
            return found, edge


def _check_types(types: Sequence[str] | None) -> None:
    known = set(NAMES.values())
    for name in types or ():
        if name not in known:
            close = get_close_matches(name[:_MAX_LETTERS], known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else "; docs/events.md lists them"
            raise InvalidRequest([Fault("type", f"there are no events of the type {name[:_MAX_LETTERS]!r}{hint}")])
