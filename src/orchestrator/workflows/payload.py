"""The check of a trigger payload against the workflow that it is for."""

from typing import Any

from orchestrator.domain.budget import MAX_UNITS, Budget, BudgetExceeded
from orchestrator.domain.errors import InputNotCanonical, InvalidPayload
from orchestrator.domain.fingerprint import check_storable
from orchestrator.domain.workflow import Workflow

MAX_LISTED = 20
"""How many problems of one payload are listed."""

_ROOT = "triggerPayload"


def check_payload(workflow: Workflow, payload: Any, budget: Budget | None = None) -> None:
    """Accept a payload that is an object, has a canonical JSON form and matches the workflow's `payloadSchema`.

    As Draft 2020-12 has it, `format` describes and does not refuse.

    Args:
        workflow: the definition.
        payload: plain JSON.
        budget: what the check may cost; `MAX_UNITS` units for the form and as many for the schema when None.

    Raises:
        InvalidPayload: it does not, or the check takes too much work; `details["faults"]` lists up to `MAX_LISTED`
            problems with path and message.
        BudgetExceeded: it costs more than the budget given.
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
    from orchestrator.workflows.payload_schema import misfits  # noqa: PLC0415 - not every start waits for a validator

    schema, allowed = workflow.payload_schema, budget or Budget()
    try:
        problems = misfits(workflow.digest, schema, payload, root=_ROOT, most=MAX_LISTED + 1, budget=allowed)
    except BudgetExceeded:
        if budget is not None:
            raise
        message = f"the check takes more than {MAX_UNITS:,} units of work; send less, or simplify payloadSchema"
        raise invalid_payload([(_ROOT, message)]) from None
    if problems:
        raise invalid_payload(problems)


def invalid_payload(problems: list[tuple[str, str]]) -> InvalidPayload:
    """Return the error that lists problems, each a path and a message."""
    listed = problems[:MAX_LISTED]
    lines = [f"  {path}: {message}" for path, message in listed]
    if len(problems) > MAX_LISTED:
        lines.append(f"  and more; the first {MAX_LISTED} are listed")
    return InvalidPayload(
        "the trigger payload does not fit the workflow:\n" + "\n".join(lines),
        faults=[{"path": path, "message": message} for path, message in listed],
    )
