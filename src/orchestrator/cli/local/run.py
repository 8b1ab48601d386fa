"""The command `run`: one run with its own worker and projector in this process, until it ends."""

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.bootstrap.core import open_core
from orchestrator.bootstrap.definitions import PYTHON, load_definition
from orchestrator.bootstrap.grants import LOG, PROJECTOR, WORKER, check_grants
from orchestrator.bootstrap.showing import open_projector
from orchestrator.bootstrap.working import check_declared_secrets, load_skills, open_watchdog, open_worker
from orchestrator.cli.actor import actor_name
from orchestrator.cli.asking import calls_here
from orchestrator.cli.complaint import Complaint
from orchestrator.cli.definitions import missing_skills
from orchestrator.cli.logging import configure_logging
from orchestrator.cli.output.log_lines import show_printed
from orchestrator.cli.output.progress import RunProgress
from orchestrator.cli.output.reasons import print_reasons
from orchestrator.cli.output.terminal import duration, open_console, print_json, print_line
from orchestrator.cli.output.watch import load_progress, outcome, watch
from orchestrator.cli.process import Stop
from orchestrator.domain.workflow import Workflow
from orchestrator.settings import Settings
from orchestrator.skills import SkillRegistry

if TYPE_CHECKING:
    from orchestrator.application.core import Core

_EXIT_CODES = {"completed": 0, "failed": 1, "cancelled": 130}


@dataclass(frozen=True, slots=True)
class RunOrder:
    """What to run: a workflow file, its payload, labels and priority, and the steps that do not use the cache."""

    file: Path
    payload: Mapping[str, Any]
    labels: Mapping[str, str]
    priority: int = 0
    no_cache: bool = False
    force: tuple[str, ...] = ()


class Place:
    """A client together with the worker and the projector in this process."""

    def __init__(self, core: "Core", stop: Stop) -> None:
        self.client = calls_here(core)
        self.stop = stop
        self._core = core

    async def register(self, workflow: Workflow) -> Workflow:
        """Register a workflow, as a development version if its content changed, and return what is registered.

        Raises:
            WorkflowVersionExists: the content changed, and the version is too long for a development version.
        """
        tenant = self._core.settings.tenant
        registered = await self._core.workflows.register_development(workflow, tenant=tenant, actor=actor_name())
        if registered.version != workflow.version:
            told = f"{workflow.name} {workflow.version} has changed: running it as {registered.version}"
            open_console(stderr=True).print(told, soft_wrap=True, markup=False, highlight=False)
        return registered

    async def follow(self, run_id: str) -> RunProgress:
        """Show a run until it ends, and return its progress. Ctrl-C cancels the run; SIGTERM only stops showing it."""
        progress = await load_progress(self.client, run_id)
        watching = asyncio.create_task(watch(self.client, progress))
        stopping = asyncio.create_task(self.stop.wait())
        await asyncio.wait((watching, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not watching.done():
            if self.stop.signal == signal.SIGINT:
                await self.client.cancel(run_id, "Ctrl-C")
            else:
                watching.cancel()
        await asyncio.wait((watching,))
        return progress if watching.cancelled() else watching.result()


@asynccontextmanager
async def open_place(settings: Settings, skills: SkillRegistry) -> AsyncIterator[Place]:
    """Open the database, a projector and a worker with these skills in this process."""
    stop = Stop(settings.shutdown_grace_seconds)
    with open_core(settings) as core:
        await core.database.call(check_grants, core.database, LOG, WORKER, PROJECTOR)
        with open_projector(core):
            place = Place(core, stop)
            async with open_worker(core, skills, show_printed) as worker:
                with open_watchdog(core, worker):
                    yield place


def load_runnable(file: Path, settings: Settings) -> tuple[Workflow, SkillRegistry]:
    """Return a workflow and the skills to run it with; see `with_sources` for the skills of a Python file.

    Raises:
        InvalidWorkflow: the file is invalid.
        InvalidSkills: a source of skills cannot be loaded.
        Complaint: the workflow needs skills that are not loaded.
        MissingSecrets: the skills declare secrets that no source has.
    """
    workflow = load_definition(file, max_attempts_bound=settings.max_attempts_bound).workflow
    skills = load_skills(settings, develops=True)
    missing = missing_skills(workflow, skills.ids)
    if missing:
        raise Complaint(
            f"{file} needs skills that are not loaded: {', '.join(missing)}",
            "Give their source with --skills (package.module, a .py file, a directory, a .yaml file of declarations).",
        )
    check_declared_secrets(settings, skills)
    return workflow, skills


def with_sources(file: Path, settings: Settings) -> Settings:
    """Return the settings with a Python file that defines skills as another source, so that child processes load it.

    Raises:
        InvalidWorkflow: the file does not define one workflow.
        InvalidSkills: the file cannot be imported.
    """
    if PYTHON not in file.name:
        return settings
    definition = load_definition(file, max_attempts_bound=settings.max_attempts_bound)
    if not definition.skills:
        return settings
    return settings.model_copy(update={"skills": (*settings.skills, str(definition.file))})


async def run_once(settings: Settings, order: RunOrder, *, as_json: bool) -> int:
    """Run a workflow file once, and return the exit code: 0 completed, 1 failed, 130 cancelled, or 128 + a signal."""
    configure_logging(settings, quiet=True)
    settings = with_sources(order.file, settings)
    workflow, skills = load_runnable(order.file, settings)
    async with open_place(settings, skills) as place:
        workflow = await place.register(workflow)
        accepted = await place.client.trigger(
            workflow.name,
            order.payload,
            version=workflow.version,
            labels=order.labels,
            priority=order.priority,
            no_cache=order.no_cache,
            force=order.force,
        )
        progress = await place.follow(accepted["runId"])
        if as_json:
            print_json(await place.client.run(progress.run_id))
    if not progress.is_over:
        open_console(stderr=True).print(
            f"run {progress.run_id} released; a worker on {settings.data_dir} continues it", soft_wrap=True
        )
        return place.stop.exit_code
    if not as_json:
        print_outcome(progress)
    return _EXIT_CODES[progress.status]


def print_outcome(progress: RunProgress) -> None:
    """Print how a run ended, on one line, and its error on another."""
    result = outcome(progress)
    counts = ", ".join(f"{number} {status}" for status, number in result["steps"].items())
    took = duration(result["durationMs"])
    print_line(f"run {progress.run_id} {progress.status}" + (f" after {took}" if took else "") + f": {counts}")
    if progress.status == "failed":
        print_line(progress.note)
        failed = [step for step in progress.steps.values() if step.status == "failed" and step.failure is not None]
        print_reasons(open_console(), [(f"{step.id} (attempt {step.attempt})", step.failure or {}) for step in failed])
