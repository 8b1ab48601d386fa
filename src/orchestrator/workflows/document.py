"""Documents to workflows: the one way in for definitions, wherever they come from."""

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
"""How many bytes the text of a definition may stand for: as JSON, with what its YAML aliases repeat."""

MAX_FILE_BYTES = 8 << 20
"""The same for files and for what Python builds: these are the operator's own."""


def load_file(path: Path | str, *, max_attempts_bound: int = MAX_ATTEMPTS) -> Workflow:
    """Return the workflow that a `.yaml`, `.yml` or `.json` file (UTF-8) defines.

    Raises:
        InvalidWorkflow: every fault of the file, each with its place; one of the syntax hides those after it.
    """
    try:
        document, found = read_file(Path(path))
    except InvalidDocument as error:
        raise InvalidWorkflow(error.faults, str(path)) from error
    return _load(document, str(path), found, max_attempts_bound, MAX_FILE_BYTES)


def load_text(text: str, *, is_yaml: bool = False, max_attempts_bound: int = MAX_ATTEMPTS) -> Workflow:
    """Return the workflow that a text, JSON or YAML, defines.

    Raises:
        InvalidWorkflow: every fault of the text, each with its place; one of the syntax hides those after it.
    """
    try:
        document, found = (read_yaml if is_yaml else read_json)(text, "workflow")
    except InvalidDocument as error:
        raise InvalidWorkflow(error.faults) from error
    return _load(document, "workflow", found, max_attempts_bound, MAX_BYTES)


def load_document(document: Any, source: str = "workflow", *, max_attempts_bound: int = MAX_ATTEMPTS) -> Workflow:
    """Return the workflow that a document (plain JSON values) defines; `source` names it in messages.

    The workflow shares nothing with the document.

    Raises:
        InvalidWorkflow: every fault of the document, each with its place.
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
    """Return the fault of a document that takes too many bytes as JSON, at the field that takes most of them."""
    try:
        sizes = {name: len(orjson.dumps(value)) + len(name) for name, value in document.items()}
    except orjson.JSONEncodeError:  # the other faults say why
        return None
    total = sum(sizes.values())
    if total <= most:
        return None
    largest = max(sizes, key=lambda name: sizes[name])
    share = f"{sizes[largest]:,} of them here"
    return Fault(place((largest,)), f"the definition has {total:,} bytes as JSON, {share}; at most {most:,}")
