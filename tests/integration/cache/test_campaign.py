"""The example, made twice: the second time nothing is executed, and everything is there."""

import json
from pathlib import Path

import pytest

from orchestrator.domain.events import StepCacheHit, StepStarted
from orchestrator.skills import SkillRegistry
from orchestrator.workflows import load_file
from tests.world.core import CALLER, World, outputs, statuses
from tests.world.work import at_work

CAMPAIGN = Path(__file__).parents[3] / "examples" / "campaign"


@pytest.mark.parametrize("redis", [False, True])
async def test_the_same_campaign_twice_executes_no_skill_the_second_time(
    world: World, hot_world: World, redis: bool
) -> None:
    used = hot_world if redis else world
    workflow = load_file(CAMPAIGN / "campaign.build.v1.yaml")
    payload = json.loads((CAMPAIGN / "brief.json").read_text())
    skills = SkillRegistry()
    skills.load_modules([str(CAMPAIGN / "skills")])
    await used.register(workflow)
    async with at_work(used.core, skills):
        first = await used.run(workflow.name, payload)
    async with at_work(used.core, skills):  # a worker that begins: nothing is left in its memory
        second = await used.run(workflow.name, payload)
    events = [recorded.event for recorded in used.core.log.read(second.id)]
    assert not [event for event in events if isinstance(event, StepStarted)]
    assert len([event for event in events if isinstance(event, StepCacheHit)]) == 13
    assert set(statuses(first).values()) == {"completed"}
    assert set(statuses(second).values()) == {"skipped"}
    assert outputs(second) == outputs(first)
    assert {state.source_run for _, state in second.states()} == {first.id}
    assert used.core.cache_counts.hits == {"hot" if redis else "cold": 13}
    reader, tenant = used.core.reader, CALLER.tenant
    made, reused = reader.artifacts(tenant, first.id), reader.artifacts(tenant, second.id)
    assert len(made) > 13
    assert [(each["id"], each["uri"], each["runId"]) for each in reused] == [
        (each["id"], each["uri"], first.id) for each in made
    ]
    assert [step["cacheHit"] for step in reader.steps(tenant, second.id)] == [True] * 13
