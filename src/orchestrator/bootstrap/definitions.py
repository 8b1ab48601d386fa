"""Load a workflow from a file of any kind: YAML and JSON, or Python that builds it with `define`."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.domain.errors import Fault, InvalidWorkflow
from orchestrator.domain.spelling import did_you_mean
from orchestrator.domain.workflow import Workflow
from orchestrator.skills.skill import FunctionSkill, skills_of
from orchestrator.skills.sources import load_module
from orchestrator.workflows import load_file
from orchestrator.workflows.validate import MAX_ATTEMPTS

PYTHON = ".py"


@dataclass(frozen=True, slots=True)
class LoadedDefinition:
    """A workflow, and the skills that the same Python file defines (none for other files)."""

    workflow: Workflow
    file: Path
    skills: tuple[FunctionSkill, ...] = ()


def load_definition(path: Path, *, max_attempts_bound: int = MAX_ATTEMPTS) -> LoadedDefinition:
    """Return the workflow that a file defines.

    A Python file is imported. If it has several workflows, `flows.py:NAME` selects one by the name of its variable.

    Raises:
        InvalidWorkflow: the file is invalid, or does not define one workflow.
        InvalidSkills: the Python file cannot be imported; the cause is chained.
    """
    file, _, name = (str(path), "", "") if path.exists() else str(path).partition(f"{PYTHON}:")
    if name:
        file += PYTHON
    if not file.endswith(PYTHON):
        return LoadedDefinition(load_file(path, max_attempts_bound=max_attempts_bound), path)
    module = load_module(file)
    found = {key: value for key, value in vars(module).items() if isinstance(value, Workflow)}
    return LoadedDefinition(_selected(found, file, name), Path(file), tuple(skills_of(module)))


def _selected(found: dict[str, Workflow], file: str, name: str) -> Workflow:
    if name:
        if name not in found:
            raise _fault(file, f"has no workflow named {name!r}{did_you_mean(name, found)}; it has {_listed(found)}")
        return found[name]
    if not found:
        raise _fault(file, 'defines no workflow; write `workflow = define("name", "1.0.0", steps=[...])` in it')
    if len({id(workflow) for workflow in found.values()}) > 1:
        raise _fault(file, f"defines several workflows ({_listed(found)}); select one: {file}:{next(iter(found))}")
    return next(iter(found.values()))


def _fault(file: str, message: str) -> InvalidWorkflow:
    return InvalidWorkflow([Fault("$", message)], file)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
