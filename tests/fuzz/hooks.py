"""What schemathesis is told: which runs there are, and what every error must look like. It loads this file by its path.

Without the first, every id would be unknown and nothing behind the 404 would be reached. Only what is valid is changed:
a request that is meant to be wrong stays wrong. What may be deleted is apart, or soon every run would be gone.
"""

import json
import os
import re
from typing import Any
from uuid import UUID
from zlib import crc32

import schemathesis
from schemathesis.specs.openapi.checks import negative_data_rejection

KNOWN: dict[str, list[str]] = json.loads(os.environ["FUZZ_KNOWN"])
UUIDS = {"runId": KNOWN["runs"] + KNOWN["doomed"], "artifactId": KNOWN["artifacts"]}
UNKNOWN_HEADER = "x-schemathesis-unknown-property"
SHAPE = {"error": str, "message": str, "details": dict}


def pick(found: list[str], instead_of: object) -> str | None:
    """Return one of what is known for three of four values, the same one for the same value."""
    number = crc32(repr(instead_of).encode())
    return found[number // 4 % len(found)] if number % 4 else None


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Let a request be about something that is there, and not wait for what will never be."""
    known = UUIDS | {"runId": KNOWN["doomed"]} if case.method.upper() == "DELETE" else UUIDS
    for name, found in known.items():
        given = (case.path_parameters or {}).get(name)
        if is_uuid(given):
            case.path_parameters[name] = pick(found, given) or given
    name = (case.path_parameters or {}).get("workflowName")
    if isinstance(name, str) and name.isalnum() and len(name) < 200:
        case.path_parameters["workflowName"] = pick(KNOWN["workflows"], name) or name
    headers = case.headers or {}
    wanted = str(headers.get("X-Min-Position", ""))
    if wanted.isascii() and wanted.isdigit() and int(wanted) < 2**63:
        headers["X-Min-Position"] = str(int(wanted) % 10)
    if isinstance(case.body, dict):
        fill(case.body)


def fill(body: dict[str, Any]) -> None:
    """Let a trigger name a workflow that is there, an update a change that it knows, and a poll not wait."""
    if plain(body.get("workflowName")) and "steps" not in body:
        body["workflowName"] = pick(KNOWN["workflows"], body["workflowName"]) or body["workflowName"]
        if body["workflowName"] in KNOWN["workflows"] and plain(body.get("workflowVersion")):
            body["workflowVersion"] = "1.0.0"
    wait = body.get("waitSeconds", 30)
    if "slots" in body and type(wait) in (int, float) and 0 <= wait <= 30:
        body["waitSeconds"] = 0  # a poll waits for work that nobody gives
    change = body.get("changeRequest")
    if isinstance(change, dict) and plain(change.get("type")):
        change["type"] = pick(["payload.patch"], change["type"]) or change["type"]


def plain(value: object) -> bool:
    """Say whether a value is a name like any other."""
    return isinstance(value, str) and 0 < len(value) <= 255 and "\0" not in value


def is_uuid(value: object) -> bool:
    try:
        return bool(UUID(str(value)))
    except ValueError:
        return False


@schemathesis.check
def wrong_is_refused(ctx: Any, response: Any, case: Any) -> bool | None:
    """What the document forbids is refused; but a header nobody knows is nobody's business (RFC 9110, 5.1)."""
    if any(name.lower() == UNKNOWN_HEADER for name in case.headers or ()):
        return None
    refused: bool | None = negative_data_rejection(ctx, response, case)
    return refused


@schemathesis.check
def one_shape(ctx: Any, response: Any, case: Any) -> None:
    """Every error, whoever it comes from, has the one shape."""
    if response.status_code >= 400 and case.method.upper() != "HEAD":
        document = json.loads(response.content)
        assert {name: type(value) for name, value in document.items()} == SHAPE, document
        assert re.fullmatch(r"[A-Z]+(_[A-Z]+)*", document["error"]), document
        assert document["message"], document
