"""Checking and registering workflow files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.bootstrap.working import load_skills
from orchestrator.cli.definitions import workflow_files
from orchestrator.cli.output.terminal import counted, print_error, print_json, print_line
from orchestrator.domain.errors import Fault, InvalidWorkflow
from orchestrator.domain.workflow import Workflow, workflow_to_json
from orchestrator.settings import Settings
from orchestrator.workflows import load_file, warnings

if TYPE_CHECKING:
    from orchestrator.application.calls import Calls

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Check:
    """The result for one file: its workflow with warnings, or the faults that make it invalid."""

    file: Path
    workflow: Workflow | None
    faults: tuple[Fault, ...] = ()
    doubts: tuple[Fault, ...] = ()


def check_files(settings: Settings, paths: Sequence[Path], *, with_skills: bool) -> list[Check]:
    """Check every file. With `with_skills`, also warn about skills that are not loaded.

    Raises:
        Complaint: a path does not exist, or a directory has no workflow.
        InvalidSkills: a source of skills cannot be loaded.
    """
    known = set(load_skills(settings).ids) if with_skills else None
    checks = []
    for file in workflow_files(paths):
        try:
            workflow = load_file(file, max_attempts_bound=settings.max_attempts_bound)
        except InvalidWorkflow as error:
            checks.append(Check(file, None, faults=error.faults))
        else:
            checks.append(Check(file, workflow, doubts=tuple(warnings(workflow, known))))
    return checks


def print_checks(checks: Sequence[Check], *, as_json: bool) -> None:
    """Print the result of every file: valid workflows on stdout, faults and warnings on stderr."""
    if as_json:
        print_json({"files": [_check_document(check) for check in checks]})
        return
    for check in checks:
        if check.workflow is None:
            print_error(f"error: {InvalidWorkflow(check.faults, str(check.file))}")
            continue
        workflow = check.workflow
        print_line(f"{check.file}: {workflow.name} {workflow.version} is valid, {counted(len(workflow.steps), 'step')}")
        for doubt in check.doubts:
            print_error(f"warning: {check.file}: {doubt}")


def _check_document(check: Check) -> Document:
    workflow = check.workflow
    return {
        "file": str(check.file),
        "valid": workflow is not None,
        "workflowName": None if workflow is None else workflow.name,
        "version": None if workflow is None else workflow.version,
        "faults": [{"path": fault.path, "message": fault.message} for fault in check.faults],
        "warnings": [{"path": doubt.path, "message": doubt.message} for doubt in check.doubts],
    }


async def register_all(client: "Calls", definitions: Sequence[Workflow]) -> list[Document]:
    """Register workflows and return for each whether it is new.

    Raises:
        WorkflowVersionExists: the version is already registered with different content.
    """
    registered = [await client.register(workflow_to_json(each)) for each in definitions]
    return [{name: each[name] for name in ("workflowName", "version", "new")} for each in registered]


def print_registered(registered: Sequence[Document], *, as_json: bool) -> None:
    """Print the outcome of registering workflows."""
    if as_json:
        print_json({"workflows": registered})
        return
    for each in registered:
        outcome = "registered" if each["new"] else "already registered, with the same content"
        print_line(f"{each['workflowName']} {each['version']} {outcome}")
