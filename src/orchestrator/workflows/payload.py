"""Check a trigger payload against its workflow."""

from typing import Any

from orchestrator.domain.budget import MAX_UNITS, Budget, BudgetExceeded
from orchestrator.domain.errors import InputNotCanonical, InvalidPayload
from orchestrator.domain.fingerprint import check_storable
from orchestrator.domain.workflow import Workflow

MAX_LISTED = 20
"""The maximum number of problems listed for one payload."""

_ROOT = "triggerPayload"


def check_payload(workflow: Workflow, payload: Any, budget: Budget | None = None) -> None:
    """Check that a payload is an object, has a canonical JSON form and matches the workflow's `payloadSchema`.

    As in Draft 2020-12, `format` is an annotation and rejects nothing.

    Args:
        workflow: the definition.
        payload: the payload as plain JSON values.
        budget: the maximum cost. If None, the form and the schema may cost `MAX_UNITS` units each.

    Raises:
        InvalidPayload: the payload is invalid, or the check costs more than the default limit; `details["faults"]`
            lists up to `MAX_LISTED` problems, each with a path and a message.
        BudgetExceeded: the check costs more than the given budget.
    """
    if not isinstance(payload, dict):
        raise invalid_payload([(_ROOT, f"must be an object, not {type(payload).__name__}")])
    try:
        check_storable(payload, budget)
    except InputNotCanonical as error:
        path = _ROOT + str(error.details["path"]).removeprefix("$")
        raise invalid_payload([(path, f"has no canonical JSON form: {error.details['reason']}")]) from error
    if workflow.payload_schema is None:
        return
    from orchestrator.workflows.payload_schema import misfits  # noqa: PLC0415 - slow to import

    schema, allowed = workflow.payload_schema, budget or Budget()
    try:
        problems = misfits(workflow.digest, schema, payload, root=_ROOT, most=MAX_LISTED + 1, budget=allowed)
    except BudgetExceeded:
        if budget is not None:
            raise
        message = f"takes more than {MAX_UNITS:,} units of work to check; send less data, or simplify payloadSchema"
        raise invalid_payload([(_ROOT, message)]) from None
    if problems:
        raise invalid_payload(problems)


def invalid_payload(problems: list[tuple[str, str]]) -> InvalidPayload:
    """Return the error that lists the problems, each a path and a message."""
    listed = problems[:MAX_LISTED]
    lines = [f"  {path}: {message}" for path, message in listed]
    if len(problems) > MAX_LISTED:
        lines.append(f"  and more; only the first {MAX_LISTED} are listed")
    return InvalidPayload(
        "invalid trigger payload:\n" + "\n".join(lines),
        faults=[{"path": path, "message": message} for path, message in listed],
    )
