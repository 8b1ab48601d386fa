"""The campaign example with its real skills: a full build, and an update of its audio."""

import asyncio
import json
import time
from typing import Any

from benchmarks.changes import CALLER, finished, projected
from benchmarks.folders import open_folder
from benchmarks.report import Report, median
from benchmarks.server import ROOT
from orchestrator.application.commands import Wanted
from orchestrator.application.core import Core
from orchestrator.bootstrap.core import open_core
from orchestrator.bootstrap.showing import open_projector
from orchestrator.bootstrap.working import load_skills, open_worker
from orchestrator.domain.change import ChangeRequest
from orchestrator.settings import Settings
from orchestrator.workflows import load_file

FOLDER = ROOT / "examples" / "campaign"


def measure(report: Report, *, full: bool) -> None:
    """Build and update the campaign, each time with a brief that has no cached results."""
    with open_folder() as folder:
        settings = Settings(data_dir=folder, skills=(str(FOLDER / "skills"),))
        with open_core(settings) as core, open_projector(core):
            asyncio.run(_measure(report, core, repeat=5 if full else 3))


async def _measure(report: Report, core: Core, repeat: int) -> None:
    await core.workflows.register(load_file(FOLDER / "campaign.build.v1.yaml"), tenant="default", actor="bench")
    brief: dict[str, Any] = json.loads((FOLDER / "brief.json").read_text())
    builds, updates, executed = [], [], []
    async with open_worker(core, load_skills(core.settings)) as worker:
        for number in range(repeat):
            payload = {"brief": {**brief["brief"], "title": f"Harbor {number}"}}
            started = time.perf_counter()
            base = await core.commands.trigger(CALLER, Wanted("campaign.build.v1", payload=payload))
            await finished(worker)
            builds.append(time.perf_counter() - started)
            await projected(core)
            started = time.perf_counter()
            change = ChangeRequest("audio.update", {"audio": {"style": "synthwave", "tempo": 100 + number}})
            update = await core.changes.update(CALLER, base.run_id, change)
            await finished(worker)
            updates.append(time.perf_counter() - started)
            run = core.runs.load(update.run_id).run
            executed.append(sum(state.status == "completed" for _, state in run.states()))
    report.add("Campaign, real skills", "full build of 13 steps", median(builds), "s")
    report.add("Campaign, real skills", "audio.update of it", median(updates), "s")
    report.add("Campaign, real skills", "steps executed by the update", median(executed), "steps", "6")
    report.add("Campaign, real skills", "update against build", median(updates) / median(builds), "ratio", "< 0.5")
