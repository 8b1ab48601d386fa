"""Run a workflow in this process: in memory, or in a data directory."""

import inspect
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from orchestrator.skills.registry import SkillRegistry
from orchestrator.skills.skill import skill_of
from orchestrator.testing.ran import RanRun
from orchestrator.testing.sources import (
    SkillSource,
    WorkflowSource,
    checked_timeout,
    complete,
    definition_of,
    registry_of,
    run_blocking,
)


def run(
    workflow: WorkflowSource,
    payload: Mapping[str, Any] | None = None,
    *,
    skills: SkillRegistry | SkillSource | Iterable[SkillSource] | None = None,
    results: Mapping[str, Any] | None = None,
    secrets: Mapping[str, str] | None = None,
    data_dir: str | Path | None = None,
    timeout_seconds: float = 600.0,
) -> RanRun:
    """Run a workflow once in this process, and return what it left behind. It does not raise when the run fails.

    Without a `data_dir` everything is in memory: no database is started, every step is executed, pauses before further
    attempts are skipped, and nothing is kept. In a coroutine, await `arun`.

    Args:
        workflow: a workflow, a document, or the path of a YAML, JSON or Python file (`flows.py:NAME` selects one).
        payload: the trigger payload.
        skills: functions, modules, or sources as for `--skills`. Without it, the skills of the calling module are used.
            A Python file that defines the workflow adds its own.
        results: results for some steps, by step id, so that their skills are not called. An exception is raised as if
            the skill raised it, also in further attempts; any other value is the step's data.
        secrets: what `ctx.secret(name)` returns, by name.
        data_dir: run on the data in this directory, as `orchestrator run --data-dir` does: results are cached, and
            other commands can inspect the run. `results` and `secrets` cannot be given with it.
        timeout_seconds: how long the run may take, at most a day.

    Raises:
        InvalidWorkflow: the definition has faults; all are listed.
        InvalidPayload: the payload does not match the workflow's payloadSchema.
        SkillNotFound: a step has neither a skill nor a result.
        ValueError: `results` names an unknown step, or an argument is out of bounds.
        TimeoutError: the run did not end in time.
        RuntimeError: an event loop is running in this thread.
    """
    given = _own(inspect.currentframe()) if skills is None else skills
    coroutine = arun(
        workflow,
        payload,
        skills=given,
        results=results,
        secrets=secrets,
        data_dir=data_dir,
        timeout_seconds=timeout_seconds,
    )
    return run_blocking(coroutine, "arun")


async def arun(
    workflow: WorkflowSource,
    payload: Mapping[str, Any] | None = None,
    *,
    skills: SkillRegistry | SkillSource | Iterable[SkillSource] = (),
    results: Mapping[str, Any] | None = None,
    secrets: Mapping[str, str] | None = None,
    data_dir: str | Path | None = None,
    timeout_seconds: float = 600.0,
) -> RanRun:
    """Run a workflow; see `run`. `skills` has no default here: a coroutine does not know what awaits it."""
    limit = checked_timeout(timeout_seconds)
    if data_dir is not None and (results or secrets):
        name = "results" if results else "secrets"
        raise ValueError(f"{name} cannot be given with data_dir, where everything is kept; leave out one of them")
    definition, own = definition_of(workflow)
    registry = registry_of((*registry_of(skills), *own))
    complete(registry, definition, results or {})
    if data_dir is not None:
        from orchestrator.testing.kept_run import run_in_directory  # noqa: PLC0415 - imports the database

        return await run_in_directory(definition, registry, payload or {}, Path(data_dir), limit)
    from orchestrator.testing.memory_run import run_in_memory  # noqa: PLC0415

    return await run_in_memory(
        definition,
        registry,
        {} if payload is None else payload,
        chosen=results or {},
        secrets=secrets or {},
        timeout_seconds=limit,
    )


def _own(frame: FrameType | None) -> list[Any]:
    """Return the skills that the module that called `run` holds by name."""
    caller = None if frame is None else frame.f_back
    while caller is not None and str(caller.f_globals.get("__name__", "")).startswith("orchestrator.testing."):
        caller = caller.f_back
    names = {} if caller is None else caller.f_globals
    found = (skill_of(value) for value in list(names.values()))
    return list(dict.fromkeys(each for each in found if each is not None))
