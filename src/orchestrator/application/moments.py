"""Points in a run's history: a version, or a time."""

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import takewhile

from orchestrator.application.errors import InvalidRequest
from orchestrator.domain.errors import Fault, RunNotFound
from orchestrator.eventstore.recorded import Recorded

_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_VERSION = re.compile(r"[1-9]\d{0,17}", re.ASCII)


def parse_moment(text: str) -> int | datetime:
    """Parse a version or an RFC 3339 time.

    Raises:
        InvalidRequest: the text is neither.
    """
    if _VERSION.fullmatch(text):
        return int(text)
    if _TIME.fullmatch(text):
        try:
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise InvalidRequest(
        [Fault("at", "must be a version (1 or more) or a time such as 2026-01-31T12:00:00Z (write + as %2B)")]
    )


def parse_time(text: str, path: str) -> int:
    """Parse an RFC 3339 time with an offset, and return it in milliseconds since 1970 UTC.

    Raises:
        InvalidRequest: the text is not one; `path` names the field.
    """
    if _TIME.fullmatch(text):
        with suppress(ValueError, OverflowError):
            return round(datetime.fromisoformat(text.upper()).timestamp() * 1000)
    raise InvalidRequest([Fault(path, "must be a time such as 2026-01-31T12:00:00Z (write + as %2B)")])


def up_to(moment: int | datetime, run_id: str, history: Sequence[Recorded]) -> list[Recorded]:
    """Return the events of a run up to a version or time. `history` must be complete and not empty.

    Raises:
        InvalidRequest: the run has not reached this version yet.
        RunNotFound: the run did not exist at this time.
    """
    if isinstance(moment, int):
        if moment > len(history):
            raise InvalidRequest([Fault("at", f"the run is at version {len(history)}, not yet at {moment}")])
        return list(history[:moment])
    until = moment.timestamp() * 1000
    past = list(takewhile(lambda recorded: recorded.event.at <= until, history))
    if not past:
        raise RunNotFound(f"run {run_id} did not exist at {moment.isoformat()}", runId=run_id)
    return past
