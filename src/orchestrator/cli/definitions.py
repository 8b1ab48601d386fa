"""Workflow definitions in files and directories."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from orchestrator.cli.complaint import Complaint
from orchestrator.domain.errors import InvalidWorkflow
from orchestrator.domain.workflow import Workflow

_SUFFIXES = (".yaml", ".yml", ".json")
_WORKFLOW_KEYS = frozenset({"workflowName", "steps"})


def find_definitions(paths: Sequence[Path], max_attempts_bound: int) -> list[Workflow]:
    """Return the workflows in files and directories.

    Raises:
        Complaint: a path does not exist, a directory has no workflow, or several files are invalid; all are listed.
        InvalidWorkflow: one file is invalid.
    """
    found: list[Workflow] = []
    faulty: list[InvalidWorkflow] = []
    for path in workflow_files(paths):
        from orchestrator.workflows.document import load_file  # noqa: PLC0415 - a worker without any starts faster

        try:
            found.append(load_file(path, max_attempts_bound=max_attempts_bound))
        except InvalidWorkflow as error:
            faulty.append(error)
    if len(faulty) == 1:
        raise faulty[0]
    if faulty:
        raise Complaint("\n".join(str(error) for error in faulty))
    return found


def workflow_files(paths: Iterable[Path]) -> list[Path]:
    """Return the workflow files that paths name.

    A directory means its `.yaml`, `.yml` and `.json` files, not those in subdirectories. A JSON file there may be a
    payload instead: an object with neither `workflowName` nor `steps` is left out, and so is JSON that is no object.

    Raises:
        Complaint: a path does not exist, or is a directory without a workflow.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES and _may_be_workflow(file))
            if not found:
                raise Complaint(
                    f"No workflow files in the directory {path}",
                    f"Add a workflow definition ({', '.join(_SUFFIXES)}) or check the path.",
                )
            files += found
        elif path.exists():
            files.append(path)
        else:
            raise Complaint(f"Workflow file not found: {path}", "Check the path.")
    return files


def _may_be_workflow(file: Path) -> bool:
    """Return whether a file may be a workflow. An unreadable file may be, so that its fault is reported."""
    if file.suffix != ".json":
        return True
    try:
        document = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return True
    return isinstance(document, dict) and not _WORKFLOW_KEYS.isdisjoint(document)


def missing_skills(workflow: Workflow, known: Iterable[str]) -> list[str]:
    """Return the skills that a workflow needs and that are not known, sorted."""
    return sorted({step.skill for step in workflow.steps.values()} - set(known))
