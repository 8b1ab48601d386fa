"""Workflow definitions in files and folders."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from orchestrator.cli.complaint import Complaint
from orchestrator.domain.errors import InvalidWorkflow
from orchestrator.domain.workflow import Workflow

_IN_FOLDERS = (".yaml", ".yml", ".json")
_OF_WORKFLOWS = frozenset({"workflowName", "steps"})


def find_definitions(paths: Sequence[Path], max_attempts_bound: int) -> list[Workflow]:
    """Return the workflows of files, and of folders.

    Raises:
        Complaint: a path leads nowhere.
        InvalidWorkflow: some have faults; all of them are listed.
    """
    found: list[Workflow] = []
    faulty: list[InvalidWorkflow] = []
    for path in workflow_files(paths):
        from orchestrator.workflows.document import load_file  # noqa: PLC0415 - a worker that is given none starts sooner

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
    """Return the files that paths stand for.

    Of a folder these are its `.yaml`, `.yml` and `.json` files, without those below it. A JSON file may as well be a
    payload: one that is an object with neither `workflowName` nor `steps` is left out.

    Raises:
        Complaint: a path leads nowhere, or to a folder without a workflow.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = sorted(file for file in path.iterdir() if file.suffix in _IN_FOLDERS and _may_be_one(file))
            if not found:
                raise Complaint(
                    f"There is no workflow in the folder {path}",
                    f"A workflow is a {', '.join(_IN_FOLDERS)} file in it.",
                )
            files += found
        elif path.exists():
            files.append(path)
        else:
            raise Complaint(f"There is no workflow file {path}", "Check the path.")
    return files


def _may_be_one(file: Path) -> bool:
    """Say whether a file of a folder is meant as a workflow; what cannot be read is, so that its fault is told."""
    if file.suffix != ".json":
        return True
    try:
        document = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return True
    return isinstance(document, dict) and not _OF_WORKFLOWS.isdisjoint(document)


def missing_skills(workflow: Workflow, known: Iterable[str]) -> list[str]:
    """Return the skills a workflow needs that are not among the known ones, sorted."""
    return sorted({step.skill for step in workflow.steps.values()} - set(known))
