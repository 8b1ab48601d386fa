"""Documents to workflows: the one way in for definitions, wherever they come from."""

import copy
from pathlib import Path
from typing import Any

from orchestrator.documents.places import ROOT, in_order, shorten
from orchestrator.documents.text import read_file, read_json, read_yaml
from orchestrator.domain.errors import Fault, InvalidDocument, InvalidWorkflow
from orchestrator.domain.workflow import Workflow, workflow_from_json
from orchestrator.workflows.plain import plain_faults
from orchestrator.workflows.shape import shape_faults
from orchestrator.workflows.validate import MAX_ATTEMPTS, faults


def load_file(path: Path | str, *, max_attempts_bound: int = MAX_ATTEMPTS) -> Workflow:
    """Return the workflow that a `.yaml`, `.yml` or `.json` file (UTF-8) defines.

    Raises:
        InvalidWorkflow: every fault of the file, each with its place; one of the syntax hides those after it.
    """
    try:
        document, found = read_file(Path(path))
    except InvalidDocument as error:
        raise InvalidWorkflow(error.faults, str(path)) from error
    return _load(document, str(path), found, max_attempts_bound)


def load_text(text: str, *, is_yaml: bool = False, max_attempts_bound: int = MAX_ATTEMPTS) -> Workflow:
    """Return the workflow that a text, JSON or YAML, defines.

    Raises:
        InvalidWorkflow: every fault of the text, each with its place; one of the syntax hides those after it.
    """
    try:
        document, found = (read_yaml if is_yaml else read_json)(text, "workflow")
    except InvalidDocument as error:
        raise InvalidWorkflow(error.faults) from error
    return _load(document, "workflow", found, max_attempts_bound)


def load_document(document: Any, source: str = "workflow", *, max_attempts_bound: int = MAX_ATTEMPTS) -> Workflow:
    """Return the workflow that a document (plain JSON values) defines; `source` names it in messages.

    The workflow shares nothing with the document.

    Raises:
        InvalidWorkflow: every fault of the document, each with its place.
    """
    return _load(document, source, [], max_attempts_bound)


def _load(document: Any, source: str, found: list[Fault], max_attempts_bound: int) -> Workflow:
    if not isinstance(document, dict):
        raise InvalidWorkflow([*found, Fault(ROOT, f"must be an object, not {shorten(document)}")], source)
    unsound, bounded = plain_faults(document)
    found = [*found, *unsound]
    if bounded:
        found += shape_faults(document)
        found += faults(document, max_attempts_bound=max_attempts_bound)
    if found:
        raise InvalidWorkflow(in_order(found), source)
    return workflow_from_json({**document, "payloadSchema": copy.deepcopy(document.get("payloadSchema"))})
