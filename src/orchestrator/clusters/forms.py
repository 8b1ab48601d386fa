"""The JSON forms of work and records. Both carry a version; readers ignore fields that they do not know."""

from collections.abc import Mapping
from typing import Any

import orjson

from orchestrator.clusters.contract import Record, Resources, Work
from orchestrator.domain.output import StepError, output_from_json, output_to_json
from orchestrator.skills.call import SkillCall

VERSION = 1

MAX_WORK_BYTES = 64 << 20
"""The size limit of an attempt as JSON. Large inputs are artifacts, so that only their references are sent."""

MAX_RECORD_BYTES = 16 << 20
"""The size limit of a record as JSON. Large data was moved to the artifact store before."""


class InvalidForm(ValueError):
    """A document is not work or a record in a form that this program can read. The message names the field."""


def work_to_json(work: Work) -> dict[str, Any]:
    """Return the JSON form of an attempt to execute."""
    call, needs = work.call, work.resources
    return {
        "v": VERSION,
        "name": work.name,
        "fence": work.fence,
        "skill": work.skill,
        "requires": list(work.requires),
        "resources": {"cpu": needs.cpu, "memory": needs.memory_bytes, "gpu": needs.gpu},
        "call": {
            "runId": call.run_id,
            "stepId": call.step_id,
            "attempt": call.attempt,
            "tenant": call.tenant,
            "skillId": call.skill_id,
            "input": call.input,
            "timeoutMs": call.timeout_ms,
            "trace": call.trace,
        },
    }


def work_from_json(document: Mapping[str, Any]) -> Work:
    """Return the attempt for a document that `work_to_json` wrote.

    Raises:
        InvalidForm: a field is missing, has another type, or the version is newer than this program.
    """
    call, needs = _object(document, "call"), document.get("resources") or {}
    _check_version(document, "work")
    return Work(
        name=_text(document, "name"),
        fence=_text(document, "fence"),
        call=SkillCall(
            run_id=_text(call, "runId"),
            step_id=_text(call, "stepId"),
            attempt=_whole(call, "attempt"),
            tenant=_text(call, "tenant"),
            skill_id=_text(call, "skillId"),
            input=call.get("input"),
            timeout_ms=None if call.get("timeoutMs") is None else _whole(call, "timeoutMs"),
            trace=call.get("trace"),
        ),
        skill=_text(document, "skill"),
        resources=Resources(needs.get("cpu"), needs.get("memory"), needs.get("gpu")),
        requires=tuple(document.get("requires") or ()),
    )


def record_to_bytes(record: Record) -> bytes:
    """Return a record as JSON text."""
    document: dict[str, Any] = {"v": VERSION, "durationMs": record.duration_ms}
    if isinstance(record.outcome, StepError):
        document["error"] = error_to_json(record.outcome)
    else:
        document["output"] = output_to_json(record.outcome)
    return orjson.dumps(document)


def record_from_bytes(text: bytes) -> Record:
    """Return the record for a text that `record_to_bytes` wrote.

    Raises:
        InvalidForm: the text is not such a record, or its version is newer than this program.
    """
    try:
        document = orjson.loads(text)
        _check_version(document, "record")
        error = document.get("error")
        outcome = output_from_json(document["output"]) if error is None else error_from_json(error)
        return Record(outcome, float(document["durationMs"]))
    except (AttributeError, KeyError, TypeError, orjson.JSONDecodeError) as error:
        raise InvalidForm(f"the record of the attempt is unreadable: {error!r}") from error


def error_to_json(error: StepError) -> dict[str, Any]:
    """Return the JSON form of an error."""
    return {
        "code": error.code,
        "message": error.message,
        "details": dict(error.details),
        "retryable": error.retryable,
        "retryAfterMs": error.retry_after_ms,
    }


def error_from_json(document: Mapping[str, Any]) -> StepError:
    """Return the error for a document that `error_to_json` wrote."""
    return StepError(
        document["code"],
        document["message"],
        document.get("details") or {},
        bool(document.get("retryable", True)),
        document.get("retryAfterMs"),
    )


def _check_version(document: Mapping[str, Any], what: str) -> None:
    version = document.get("v")
    if version != VERSION:
        raise InvalidForm(f"`v` of the {what} is {version!r}, but this program reads {VERSION}; use equal releases")


def _object(document: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    value = document.get(field)
    if not isinstance(value, Mapping):
        raise InvalidForm(f"`{field}` must be an object, not {type(value).__name__}")
    return value


def _text(document: Mapping[str, Any], field: str) -> str:
    value = document.get(field)
    if not isinstance(value, str) or not value:
        raise InvalidForm(f"`{field}` must be a text that is not empty, not {value!r}")
    return value


def _whole(document: Mapping[str, Any], field: str) -> int:
    value = document.get(field)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidForm(f"`{field}` must be a whole number of at least 1, not {value!r}")
    return value
