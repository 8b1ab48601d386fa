"""The campaign of the example, made for a golden log."""

import json
from pathlib import Path

from orchestrator.domain.change import ChangeRequest
from orchestrator.skills.registry import SkillRegistry
from orchestrator.workflows import load_file
from tests.world.core import CALLER
from tests.world.echo import open_echo_world

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "campaign"


async def run_campaign(url: str, folder: Path) -> None:
    registry = SkillRegistry()
    registry.load_modules([str(EXAMPLE / "skills")])
    workflow = load_file(EXAMPLE / "campaign.build.v1.yaml")
    payload = json.loads((EXAMPLE / "brief.json").read_text())
    async with open_echo_world(url, folder, registry) as here:
        await here.register(workflow)
        first = await here.make(workflow.name, payload)
        await here.make(workflow.name, payload)
        for change in (
            ChangeRequest("audio.update", json.loads((EXAMPLE / "audio-update.json").read_text())),
            ChangeRequest("payload.patch", {}, force=("game_config_from_template",)),
        ):
            first = await here.done(await here.core.changes.update(CALLER, first, change))
