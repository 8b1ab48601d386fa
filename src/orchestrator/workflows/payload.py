"""The check of a trigger payload against the workflow that it is for."""

from typing import Any

from orchestrator.domain.errors import InputNotCanonical, InvalidPayload
from orchestrator.domain.fingerprint import check_storable
from orchestrator.domain.workflow import Workflow

MAX_LISTED = 20
"""How many problems of one payload are listed."""

_ROOT = "triggerPayload"


def check_payload(workflow: Workflow, payload: Any) -> None:
    """Accept a payload that is an object, has a canonical JSON form and matches the workflow's `payloadSchema`.

    As Draft 2020-12 has it, `format` describes and does not refuse.

    Raises:
        InvalidPayload: it does not; `details["faults"]` lists up to `MAX_LISTED` problems with path and message.
    """
    if not isinstance(payload, dict):
        raise invalid_payload([(_ROOT, f"must be an object, not {type(payload).__name__}")])
    try:
        check_storable(payload)
    except InputNotCanonical as error:
        path = _ROOT + str(error.details["path"]).removeprefix("$")
        raise invalid_payload([(path, f"has no canonical JSON form: {error.details['reason']}")]) from error
    if workflow.payload_schema is None:
        return
    from orchestrator.workflows.payload_schema import misfits  # noqa: PLC0415 - not every start waits for a validator

    schema = workflow.payload_schema
    if problems := misfits(workflow.digest, schema, payload, root=_ROOT, most=MAX_LISTED + 1):
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
