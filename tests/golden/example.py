"""The campaign of the example, made for a golden log."""

import json
from pathlib import Path

from orchestrator.bootstrap.core import open_core
from orchestrator.bootstrap.showing import open_projector
from orchestrator.bootstrap.working import open_worker
from orchestrator.domain.change import ChangeRequest
from orchestrator.settings import Settings
from orchestrator.skills.registry import SkillRegistry
from orchestrator.workflows import load_file
from tests.integration.changes.world import CALLER, World

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "campaign"


async def run_campaign(url: str, folder: Path) -> None:
    registry = SkillRegistry()
    registry.load_modules([str(EXAMPLE / "skills")])
    workflow = load_file(EXAMPLE / "campaign.build.v1.yaml")
    payload = json.loads((EXAMPLE / "brief.json").read_text())
    with open_core(Settings(database_url=url, data_dir=folder)) as core, open_projector(core):
        here = World(core)
        async with open_worker(core, registry):
            await here.register(workflow)
            first = await here.run(workflow.name, payload)
            await here.run(workflow.name, payload)
            for change in (
                ChangeRequest("audio.update", json.loads((EXAMPLE / "audio-update.json").read_text())),
                ChangeRequest("payload.patch", {}, force=("game_config_from_template",)),
            ):
                first = await here.finished(await core.changes.update(CALLER, first, change))
