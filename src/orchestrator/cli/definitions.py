"""Workflow definitions in files and folders."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from orchestrator.cli.complaint import Complaint
from orchestrator.domain.errors import InvalidWorkflow
from orchestrator.domain.workflow import Workflow

_IN_FOLDERS = (".yaml", ".yml")


def find_definitions(paths: Sequence[Path], max_attempts_bound: int) -> list[Workflow]:
    """Return the workflows of files, and of all `.yaml` and `.yml` files that are right in folders.

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

    Raises:
        Complaint: a path leads nowhere.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += sorted(file for file in path.iterdir() if file.suffix in _IN_FOLDERS)
        elif path.exists():
            files.append(path)
        else:
            raise Complaint(f"There is no workflow file {path}", "Check the path.")
    return files


def missing_skills(workflow: Workflow, known: Iterable[str]) -> list[str]:
    """Return the skills a workflow needs that are not among the known ones, sorted."""
    return sorted({step.skill for step in workflow.steps.values()} - set(known))
