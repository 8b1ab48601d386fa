"""The filters of run lists, as callers write them."""

import re
from collections.abc import Collection

from orchestrator.application.errors import InvalidRequest
from orchestrator.application.moments import parse_time
from orchestrator.domain.errors import Fault
from orchestrator.projections.views.run_lists import RunFilter

_DIGITS = re.compile(r"[0-9a-f]{4,32}", re.ASCII)


def read_filter(
    *,
    status: str | Collection[str] | None,
    workflow: str | None,
    version: str | None,
    label: tuple[str, str] | None,
    base_run_id: str | None,
    since: str | None,
    until: str | None,
    id_prefix: str | None,
    cursor: str | None,
) -> RunFilter:
    """Return the filter of a list of runs.

    Raises:
        InvalidRequest: a version is given without its workflow, a time or a prefix is invalid, or a prefix comes with a
            cursor.
    """
    faults = []
    if version is not None and workflow is None:
        faults.append(Fault("workflowVersion", "needs workflowName: versions of different workflows are unrelated"))
    digits = None if id_prefix is None else id_prefix.replace("-", "").lower()
    if digits is not None and not _DIGITS.fullmatch(digits):
        faults.append(Fault("idPrefix", "must be the first 4 to 32 hexadecimal digits of a run id"))
    if digits is not None and cursor is not None:
        faults.append(Fault("cursor", "cannot be combined with idPrefix, whose list has one page"))
    if faults:
        raise InvalidRequest(faults)
    return RunFilter(
        statuses=() if status is None else (status,) if isinstance(status, str) else tuple(status),
        workflow=workflow,
        workflow_version=version,
        base_run_id=base_run_id,
        label=label,
        since=None if since is None else parse_time(since, "since"),
        until=None if until is None else parse_time(until, "until"),
        id_prefix=digits,
    )
