"""The skills and the workflow of a test, in each form that a test may give them."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from orchestrator.bootstrap.definitions import load_definition
from orchestrator.domain.spelling import did_you_mean
from orchestrator.domain.workflow import Workflow
from orchestrator.skills.errors import SkillNotFound
from orchestrator.skills.registry import SkillRegistry
from orchestrator.skills.skill import Skill, skills_of
from orchestrator.workflows import load_document

T = TypeVar("T")

SkillSource = Callable[..., Any] | Skill | ModuleType | str | Path
"""A function with `@skill`, a skill, a module, or a source as for `--skills` (`studio.skills`, `skills.py`)."""

WorkflowSource = Workflow | Mapping[str, Any] | str | Path
"""A workflow, its document, or the path of a file (YAML, JSON, or Python that calls `define`)."""

MAX_TIMEOUT_SECONDS = 86_400.0


def registry_of(skills: "SkillRegistry | SkillSource | Iterable[SkillSource]") -> SkillRegistry:
    """Return a registry of skills.

    Raises:
        InvalidSkills: a source cannot be loaded, or has no skill.
        SkillConflict: two different skills have the same id.
        TypeError: a value is none of what `SkillSource` lists.
    """
    if isinstance(skills, SkillRegistry):
        return skills
    registry = SkillRegistry()
    for each in _each(skills):
        if isinstance(each, str | Path):
            registry.load_modules([str(each)])
        elif isinstance(each, ModuleType):
            for one in skills_of(each):
                registry.add(one)
        else:
            registry.add(each)
    return registry


def _each(skills: Any) -> Iterable[Any]:
    return skills if isinstance(skills, Iterable) and not isinstance(skills, str) else (skills,)


def definition_of(workflow: WorkflowSource) -> tuple[Workflow, SkillRegistry]:
    """Return a workflow, and the skills of the Python file that defines it, if it is one.

    Raises:
        InvalidWorkflow: the definition has faults; all are listed.
        InvalidSkills: the Python file cannot be imported.
        TypeError: the value is none of what `WorkflowSource` lists.
    """
    if isinstance(workflow, Workflow):
        return workflow, SkillRegistry()
    if isinstance(workflow, Mapping):
        return load_document(dict(workflow)), SkillRegistry()
    if isinstance(workflow, str | Path):
        found = load_definition(Path(workflow))
        return found.workflow, registry_of(found.skills)
    raise TypeError(f"workflow must be a Workflow, a document (a dict) or a path, not {type(workflow).__name__}")


def complete(registry: SkillRegistry, workflow: Workflow, chosen: Mapping[str, Any]) -> None:
    """Check that each step has a skill or a chosen result. Skills of installed packages are added if they are needed.

    Raises:
        ValueError: `chosen` names a step that the workflow does not have.
        SkillNotFound: a step has neither.
    """
    for step in chosen:
        if step not in workflow.steps:
            hint = did_you_mean(step, workflow.steps) or f"; its steps are {', '.join(workflow.steps)}"
            raise ValueError(f"results: workflow {workflow.name} has no step {step!r}{hint}")
    if _missing(registry, workflow, chosen):
        registry.load_entry_points()
    missing = _missing(registry, workflow, chosen)
    if missing:
        step, skill = missing[0]
        error = SkillNotFound(skill, registry.ids)
        error.message += f", the skill of step {step!r}; pass skills=[...], or results={{{step!r}: ...}}"
        raise error


def _missing(registry: SkillRegistry, workflow: Workflow, chosen: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (step.id, step.skill)
        for step in workflow.steps.values()
        if step.skill not in registry and step.id not in chosen
    ]


def checked_timeout(seconds: float) -> float:
    """Return a time limit.

    Raises:
        ValueError: it is not more than 0 and at most a day.
    """
    if not 0 < seconds <= MAX_TIMEOUT_SECONDS:
        raise ValueError(f"timeout_seconds must be more than 0 and at most {MAX_TIMEOUT_SECONDS:,.0f}, not {seconds!r}")
    return seconds


def run_blocking(coroutine: Coroutine[Any, Any, T], instead: str) -> T:
    """Run a coroutine to its end on a new event loop; `instead` names the function to await in a coroutine.

    Raises:
        RuntimeError: an event loop is running in this thread.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    coroutine.close()
    raise RuntimeError(f"an event loop is running here: write `await {instead}(...)`")
