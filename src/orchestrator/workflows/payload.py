"""The check of a trigger payload against the workflow that it is for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator
from referencing.exceptions import Unresolvable

from orchestrator.domain.errors import InputNotCanonical, InvalidPayload
from orchestrator.domain.fingerprint import check_storable
from orchestrator.domain.workflow import Workflow
from orchestrator.workflows.payload_schema import shorten_message, validator
from orchestrator.workflows.places import place

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
        raise _invalid([(_ROOT, f"must be an object, not {type(payload).__name__}")])
    try:
        check_storable(payload)
    except InputNotCanonical as error:
        path = _ROOT + str(error.details["path"]).removeprefix("$")
        raise _invalid([(path, f"has no canonical JSON form: {error.details['reason']}")]) from error
    if workflow.payload_schema is None:
        return
    compiled = _compiled(_Schema(workflow.digest, workflow.payload_schema))
    try:
        errors = list(islice(compiled.iter_errors(payload), MAX_LISTED + 1))
    except (RecursionError, Unresolvable) as error:
        raise _invalid([("payloadSchema", f"cannot be applied to this payload: {type(error).__name__}")]) from error
    if errors:
        raise _invalid([(place(error.absolute_path, _ROOT), shorten_message(error.message)) for error in errors])


@dataclass(frozen=True, slots=True)
class _Schema:
    """A schema, known by the digest of its workflow."""

    digest: str
    schema: Mapping[str, Any] = field(compare=False)


@lru_cache(maxsize=256)
def _compiled(schema: _Schema) -> Draft202012Validator:
    return validator(schema.schema)


def _invalid(problems: list[tuple[str, str]]) -> InvalidPayload:
    listed = problems[:MAX_LISTED]
    lines = [f"  {path}: {message}" for path, message in listed]
    if len(problems) > MAX_LISTED:
        lines.append(f"  and more; the first {MAX_LISTED} are listed")
    return InvalidPayload(
        "the trigger payload does not fit the workflow:\n" + "\n".join(lines),
        faults=[{"path": path, "message": message} for path, message in listed],
    )
