"""The command `run`: one run with its own worker and projector in this process, until it ends."""

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.bootstrap.core import open_core
from orchestrator.bootstrap.grants import LOG, PROJECTOR, WORKER, check_grants
from orchestrator.bootstrap.showing import open_projector
from orchestrator.bootstrap.working import load_skills, open_watchdog, open_worker
from orchestrator.cli.asking import calls_here
from orchestrator.cli.complaint import Complaint
from orchestrator.cli.definitions import missing_skills
from orchestrator.cli.logging import configure_logging
from orchestrator.cli.output.log_lines import show_printed
from orchestrator.cli.output.progress import RunProgress
from orchestrator.cli.output.terminal import duration, open_console, print_json, print_line
from orchestrator.cli.output.watch import load_progress, outcome, watch
from orchestrator.cli.process import Stop
from orchestrator.domain.workflow import Workflow, workflow_to_json
from orchestrator.settings import Settings
from orchestrator.skills import SkillCall, SkillRegistry
from orchestrator.workflows import load_file

if TYPE_CHECKING:
    from orchestrator.application.calls import Calls

_EXIT_CODES = {"completed": 0, "failed": 1, "cancelled": 130}


@dataclass(frozen=True, slots=True)
class RunOrder:
    """What to run: a workflow file, its payload, labels and priority."""

    file: Path
    payload: Mapping[str, Any]
    labels: Mapping[str, str]
    priority: int = 0


class Place:
    """A client together with the worker and the projector in this process."""

    def __init__(self, client: "Calls", stop: Stop) -> None:
        self.client = client
        self.stop = stop
        self._progress: dict[str, RunProgress] = {}

    async def follow(self, run_id: str) -> RunProgress:
        """Show a run until it ends, and return its progress. Ctrl-C cancels the run; SIGTERM only stops showing it."""
        progress = self._progress[run_id] = await load_progress(self.client, run_id)
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

    def report(self, call: SkillCall, fraction: float, doing: str) -> None:
        """Record the progress that a skill reports."""
        progress = self._progress.get(call.run_id)
        if progress is not None:
            progress.report(call.step_id, fraction, doing)


@asynccontextmanager
async def open_place(settings: Settings, skills: SkillRegistry) -> AsyncIterator[Place]:
    """Open the database, a projector and a worker with these skills in this process."""
    stop = Stop(settings.shutdown_grace_seconds)
    with open_core(settings) as core:
        await core.database.call(check_grants, core.database, LOG, WORKER, PROJECTOR)
        with open_projector(core):
            place = Place(calls_here(core), stop)
            async with open_worker(core, skills, place.report, show_printed) as worker:
                with open_watchdog(core, worker):
                    yield place


def load_runnable(file: Path, settings: Settings) -> tuple[Workflow, SkillRegistry]:
    """Return a workflow and the skills to run it with.

    Raises:
        InvalidWorkflow: the file is invalid.
        InvalidSkills: a source of skills cannot be loaded.
        Complaint: the workflow needs skills that are not loaded.
    """
    workflow = load_file(file, max_attempts_bound=settings.max_attempts_bound)
    skills = load_skills(settings)
    missing = missing_skills(workflow, skills.ids)
    if missing:
        raise Complaint(
            f"{file} needs skills that are not loaded: {', '.join(missing)}",
            "Give their source with --skills (package.module, a .py file, a directory, a .yaml file of declarations).",
        )
    return workflow, skills


async def run_once(settings: Settings, order: RunOrder, *, as_json: bool) -> int:
    """Run a workflow file once, and return the exit code: 0 completed, 1 failed, 130 cancelled, or 128 + a signal."""
    configure_logging(settings, quiet=True)
    workflow, skills = load_runnable(order.file, settings)
    async with open_place(settings, skills) as place:
        await place.client.register(workflow_to_json(workflow))
        accepted = await place.client.trigger(
            workflow.name,
            order.payload,
            version=workflow.version,
            labels=order.labels,
            priority=order.priority,
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
