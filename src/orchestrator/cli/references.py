"""References to runs on the command line: an id, the beginning of one, `@last` or `@last:WORKFLOW`."""

import re
from typing import TYPE_CHECKING, Any
from uuid import UUID

from orchestrator.cli.complaint import Complaint, unknown

if TYPE_CHECKING:
    from orchestrator.application.calls import Calls

_LAST = "@last"
_MIN_DIGITS = 4
_MAX_CANDIDATES = 5
_PREFIX = re.compile(r"[0-9a-f]{4,31}", re.ASCII)
_ID_LENGTH = 36


def read_reference(given: str) -> str:
    """Return a reference in its usual form: a canonical id, lower-case hex digits, `@last` or `@last:WORKFLOW`.

    Raises:
        Complaint: it is none of these.
    """
    text = given.strip()
    if text == _LAST or text.startswith(f"{_LAST}:"):
        if text == f"{_LAST}:":
            raise Complaint("@last: names no workflow", "Write @last:WORKFLOW, or @last for the newest run of all.")
        return text
    try:
        return str(UUID(text))
    except ValueError:
        digits = text.replace("-", "").lower()
    if _PREFIX.fullmatch(digits):
        return digits
    problem = f"Invalid run id {given!r}"
    if 0 < len(digits) < _MIN_DIGITS and re.fullmatch(r"[0-9a-f]+", digits):
        problem += f": at least {_MIN_DIGITS} characters are needed"
    raise Complaint(
        problem,
        "Give an id such as 0197a6c2-1b7e-7c42-9d5c-2f3e8a1b4c5d, its beginning, or @last; list runs with "
        "`orchestrator runs list`.",
    )


def is_id(reference: str) -> bool:
    """Return whether a reference is a complete id, so that nothing needs to be looked up."""
    return len(reference) == _ID_LENGTH and not reference.startswith(_LAST)


async def find_run(client: "Calls", reference: str) -> str:
    """Return the id of the run that a reference from `read_reference` names.

    Raises:
        Complaint: no run matches, or several do; the error lists up to five.
    """
    if is_id(reference):
        return reference
    if reference.startswith(_LAST):
        return await _newest(client, reference.partition(":")[2] or None)
    found = (await client.run_page(id_prefix=reference, limit=_MAX_CANDIDATES + 1))["runs"]
    if not found:
        raise Complaint(f"No run has an id that begins with {reference}", "List runs with `orchestrator runs list`.")
    if len(found) > 1:
        raise _ambiguous(reference, found)
    return str(found[0]["id"])


async def _newest(client: "Calls", workflow: str | None) -> str:
    found = (await client.run_page(workflow=workflow, limit=1))["runs"]
    if found:
        return str(found[0]["id"])
    if workflow is None:
        raise Complaint("There is no run yet", "Trigger one with `orchestrator trigger WORKFLOW`.")
    names = [each["workflowName"] for each in await client.workflows()]
    if workflow not in names:
        raise unknown("workflow", workflow, names, "List workflows with `orchestrator workflows list`.")
    raise Complaint(f"Workflow {workflow} has no run yet", f"Trigger one with `orchestrator trigger {workflow}`.")


def _ambiguous(prefix: str, found: list[dict[str, Any]]) -> Complaint:
    lines = [
        f"  {run['id']}  {run['workflowName']} {run['workflowVersion']}  {run['status']}  {run['createdAt']}"
        for run in found[:_MAX_CANDIDATES]
    ]
    if len(found) > _MAX_CANDIDATES:
        lines.append("  and more")
    return Complaint("\n".join([f"Several runs have an id that begins with {prefix}:", *lines, "Give more characters"]))
