"""What is wrong when a soak is over, as the log, the skills' journal and the program's own checks tell."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

from orchestrator.application.core import Core
from orchestrator.bootstrap.core import open_core
from orchestrator.domain.events import TERMINAL_EVENTS, StepStarted
from orchestrator.eventstore.recorded import Recorded
from orchestrator.settings import Settings
from tests.chaos.executions import Execution, overlaps, read_executions
from tests.chaos.ledger import foreign
from tests.soak.feeder import Accepted, Feeder
from tests.soak.plant import LEASE_SECONDS, Plant
from tests.soak.processes import frozen_meanwhile
from tests.soak.workflows import GOOD, HOPELESS, UNSTOPPABLE
from tests.world.programs import command, environment

_CHECKS = (("audit", "verify", "--strict"), ("projections", "verify", "--all"), ("replay", "--check", "--all"))
_CHECK_SECONDS = 1800
_BATCH = 5000
_TERMINAL = {"RunCompleted": "completed", "RunFailed": "failed", "RunCancelled": "cancelled"}


async def program_says(plant: Plant) -> list[str]:
    """Run the program's own checks; returns what they say is wrong."""
    env = environment({**plant.env, "ORCHESTRATOR_DATABASE_URL": plant.pair.url})
    found = []
    for words in _CHECKS:
        process = await asyncio.create_subprocess_exec(
            *command(words), env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        told, _ = await asyncio.wait_for(process.communicate(), _CHECK_SECONDS)
        text = told.decode(errors="replace").strip()
        print(f"orchestrator {' '.join(words)}: exit code {process.returncode}")
        print(*(f"  {line}" for line in text.splitlines()[-12:]), sep="\n", flush=True)
        if process.returncode != 0:
            found.append(f"orchestrator {' '.join(words)} ended with {process.returncode}: {text[-1500:]}")
    return found


def log_says(plant: Plant, feeder: Feeder) -> tuple[list[str], dict[str, int]]:
    """Hold the log against what was promised and what the skills noted; returns the faults and some numbers."""
    settings = Settings(database_url=plant.pair.url, data_dir=plant.folder / "data")
    with open_core(settings) as core:
        history = _read(core)
    faults = [fault for run in feeder.accepted.values() for fault in _promises(run, history.get(run.run_id, []))]
    for run_id in feeder.accepted:
        faults += [f"run {run_id}: {fault}" for fault in foreign(history.get(run_id, []))]
    executions = read_executions(
        plant.folder / "journal", {pid: at for member in plant.members for pid, at in member.deaths.items()}
    )
    faults += _unheard_of(executions, history)
    faults += overlaps([one for one in executions if one.step not in UNSTOPPABLE], excused=_excuse(plant))
    numbers = Counter(type(one.event).__name__ for events in history.values() for one in events)
    return faults, {"executions": len(executions), "events": sum(numbers.values()), **dict(sorted(numbers.items()))}


def _read(core: Core) -> dict[str, list[Recorded]]:
    history: dict[str, list[Recorded]] = {}
    position = 0
    while batch := core.log.read_log(position, _BATCH):
        for one in batch:
            history.setdefault(one.stream_id, []).append(one)
        position = batch[-1].position
    return history


def _promises(run: Accepted, history: list[Recorded]) -> Iterator[str]:
    if not history:
        yield f"run {run.run_id} was accepted and is not in the log"
        return
    last = history[-1].event
    if not isinstance(last, TERMINAL_EVENTS):
        yield f"run {run.run_id} of {run.workflow} is not over: {[type(one.event).__name__ for one in history[-4:]]}"
        return
    status = _TERMINAL[type(last).__name__]
    if run.cancelled and status != "cancelled":
        yield f"run {run.run_id} was cancelled and is {status}"
    if status == "failed" and run.workflow in GOOD:
        yield f"run {run.run_id} of {run.workflow} failed: {_told(last)}"
    if status == "completed" and run.workflow in HOPELESS:
        yield f"run {run.run_id} of {run.workflow} completed"


def _told(event: Any) -> str:
    return str(getattr(event, "error", event))


def _unheard_of(executions: list[Execution], history: dict[str, list[Recorded]]) -> Iterator[str]:
    started = {
        (run_id, one.event.step, one.event.attempt)
        for run_id, events in history.items()
        for one in events
        if isinstance(one.event, StepStarted)
    }
    for one in executions:
        if (one.run_id, one.step, one.attempt) not in started:
            yield f"run {one.run_id} executed {one.step}, {one}, but the log does not know of it"


def _excuse(plant: Plant) -> Any:
    """Excuse what a process does that was frozen beyond its lease: it may not know yet that others took over."""

    def excused(one: Execution, other: Execution) -> bool:
        return any(
            frozen_meanwhile(plant.members, each.pid, each.began, each.ended, margin=1000 * LEASE_SECONDS)
            for each in (one, other)
        )

    return excused
