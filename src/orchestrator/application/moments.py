"""Moments of a run's past: a version of its history, or a time."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import takewhile

from orchestrator.application.errors import InvalidRequest
from orchestrator.domain.errors import Fault, RunNotFound
from orchestrator.eventstore.recorded import Recorded

_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_VERSION = re.compile(r"[1-9]\d{0,17}", re.ASCII)


def parse_moment(text: str) -> int | datetime:
    """Return the version or the time that a text names.

    Raises:
        InvalidRequest: it names neither.
    """
    if _VERSION.fullmatch(text):
        return int(text)
    if _TIME.fullmatch(text):
        try:
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise InvalidRequest(
        [Fault("at", "is neither a version (1 or more) nor a time like 2026-01-31T12:00:00Z (+ is written %2B)")]
    )


def up_to(moment: int | datetime, run_id: str, history: Sequence[Recorded]) -> list[Recorded]:
    """Return the part of a history (all of it, not empty) that had happened at a moment.

    Raises:
        InvalidRequest: the run has no such version yet.
        RunNotFound: there was no run then.
    """
    if isinstance(moment, int):
        if moment > len(history):
            raise InvalidRequest([Fault("at", f"the run is at version {len(history)}, there is no {moment} yet")])
        return list(history[:moment])
    until = moment.timestamp() * 1000
    past = list(takewhile(lambda recorded: recorded.event.at <= until, history))
    if not past:
        raise RunNotFound(f"run {run_id} did not exist at {moment.isoformat()}", runId=run_id)
    return past
