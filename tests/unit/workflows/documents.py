"""Workflow documents for the tests of this room."""

from typing import Any

from orchestrator.domain.errors import InvalidWorkflow
from orchestrator.workflows import load_document


def step(step_id: str, *depends_on: str, **fields: Any) -> dict[str, Any]:
    """One step as it stands in a document."""
    return {"stepId": step_id, "skillId": "a.skill", "dependsOn": list(depends_on), **fields}


def document(*steps: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A document with these steps."""
    return {"workflowName": "w.v1", "version": "1.0.0", "steps": list(steps or (step("a"),)), **fields}


def faults_of(found: Any, **options: Any) -> dict[str, str]:
    """Everything that loading a document finds wrong: path -> message, messages of one path joined."""
    try:
        load_document(found, **options)
    except InvalidWorkflow as error:
        listed: dict[str, str] = {}
        for fault in error.faults:
            listed[fault.path] = "; ".join(filter(None, [listed.get(fault.path), fault.message]))
        return listed
    return {}
