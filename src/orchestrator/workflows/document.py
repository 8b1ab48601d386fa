"""Turn documents into workflows. Every definition, from any source, is loaded here."""

import copy
from pathlib import Path
from typing import Any

import orjson

from orchestrator.documents.places import ROOT, in_order, place, shorten
from orchestrator.documents.text import read_file, read_json, read_yaml
from orchestrator.domain.errors import Fault, InvalidDocument, InvalidWorkflow
from orchestrator.domain.workflow import Workflow, workflow_from_json
from orchestrator.workflows.plain import plain_faults
from orchestrator.workflows.shape import shape_faults
from orchestrator.workflows.validate import MAX_ATTEMPTS, faults

MAX_BYTES = 1 << 20
"""The maximum size of a definition given as text, in bytes of JSON with its YAML aliases expanded."""

MAX_FILE_BYTES = 8 << 20
"""The maximum size of a definition from a file or from Python, which the operator controls, in bytes of JSON."""


def load_file(path: Path | str, *, max_attempts_bound: int = MAX_ATTEMPTS) -> Workflow:
    """Return the workflow that a `.yaml`, `.yml` or `.json` file (UTF-8) defines.

    Raises:
        InvalidWorkflow: lists every fault of the file with its place. A syntax error hides the faults after it.
    """
    try:
        document, found = read_file(Path(path))
    except InvalidDocument as error:
        raise InvalidWorkflow(error.faults, str(path)) from error
    return _load(document, str(path), found, max_attempts_bound, MAX_FILE_BYTES)


def load_text(text: str, *, is_yaml: bool = False, max_attempts_bound: int = MAX_ATTEMPTS) -> Workflow:
    """Return the workflow that a JSON or YAML text defines.

    Raises:
        InvalidWorkflow: lists every fault of the text with its place. A syntax error hides the faults after it.
    """
    try:
        document, found = (read_yaml if is_yaml else read_json)(text, "workflow")
    except InvalidDocument as error:
        raise InvalidWorkflow(error.faults) from error
    return _load(document, "workflow", found, max_attempts_bound, MAX_BYTES)


def load_document(document: Any, source: str = "workflow", *, max_attempts_bound: int = MAX_ATTEMPTS) -> Workflow:
    """Return the workflow that a document (plain JSON values) defines; `source` names it in messages.

    The workflow shares no objects with the document.

    Raises:
        InvalidWorkflow: lists every fault of the document with its place.
    """
    return _load(document, source, [], max_attempts_bound, MAX_FILE_BYTES)


def _load(document: Any, source: str, found: list[Fault], max_attempts_bound: int, max_bytes: int) -> Workflow:
    if not isinstance(document, dict):
        raise InvalidWorkflow([*found, Fault(ROOT, f"must be an object, not {shorten(document)}")], source)
    unsound, bounded = plain_faults(document)
    found = [*found, *unsound]
    if bounded and (oversize := _oversize(document, max_bytes)) is not None:
        found.append(oversize)
    elif bounded:
        found += shape_faults(document)
        found += faults(document, max_attempts_bound=max_attempts_bound)
    if found:
        raise InvalidWorkflow(in_order(found), source)
    return workflow_from_json({**document, "payloadSchema": copy.deepcopy(document.get("payloadSchema"))})


def _oversize(document: dict[str, Any], most: int) -> Fault | None:
    """Return a fault, placed at the largest field, if a document is too large as JSON."""
    try:
        sizes = {name: len(orjson.dumps(value)) + len(name) for name, value in document.items()}
    except orjson.JSONEncodeError:  # another fault reports the cause
        return None
    total = sum(sizes.values())
    if total <= most:
        return None
    largest = max(sizes, key=lambda name: sizes[name])
    share = f"{sizes[largest]:,} of them in this field"
    message = f"the definition has {total:,} bytes as JSON, {share}; at most {most:,} are allowed"
    return Fault(place((largest,)), message)
