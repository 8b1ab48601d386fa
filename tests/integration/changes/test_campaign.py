"""Changes of the campaign example, with its real skills: what is executed is exactly what the change needs."""

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.domain.change import ChangeRequest
from orchestrator.skills.registry import SkillRegistry
from orchestrator.workflows import load_file
from tests.world.core import CALLER
from tests.world.echo import EchoWorld, open_echo_world

FOLDER = Path(__file__).parents[3] / "examples" / "campaign"
BRIEF = json.loads((FOLDER / "brief.json").read_text())
AUDIO_UPDATE = json.loads((FOLDER / "audio-update.json").read_text())
GAME = {"bundle_game_template", "assemble_campaign_manifest", "validate_game_bundle"}
MUSIC = {"generate_bgm_track", "mix_audio_for_game"}
INTRO = {"generate_intro_image", "segment_start_button", "generate_intro_video_loop"}
ASSET = {"asset3d": {"shape": "lantern", "detail": 5}}
PALETTE = {"intro": {"palette": {"sky": "#102030"}}}

CHANGES: list[tuple[str, dict[str, Any], set[str]]] = [
    ("audio.update", AUDIO_UPDATE, {*MUSIC, "generate_sfx_pack", *GAME}),
    ("audio.update", {"audio": {"tempo": 90}}, {*MUSIC, *GAME}),
    ("audio.update", {}, set()),
    ("intro.update", {"intro": {"title": "Harbor of Dust"}}, {*INTRO, "assemble_campaign_manifest"}),
    ("intro.update", PALETTE, {*INTRO, "assemble_campaign_manifest"}),
    (
        "outcome.update",
        {"outcome": {"win": {"text": "Hooray"}}},
        {"generate_outcome_video_win", "assemble_campaign_manifest"},
    ),
    ("game_config.update", {"game": {"rules": {"goal": 5}}}, {"game_config_from_template", *GAME}),
    ("payload.patch", {"audio": {"tempo": 91}}, {*MUSIC, *GAME}),
]


def skills() -> SkillRegistry:
    registry = SkillRegistry()
    registry.load_modules([str(FOLDER / "skills")])
    return registry


async def build(here: EchoWorld, name: str) -> str:
    await here.register(load_file(FOLDER / f"{name}.yaml"))
    return await here.make(name, BRIEF)


async def update(here: EchoWorld, base: str, kind: str, payload: dict[str, Any]) -> tuple[set[str], dict[str, Any]]:
    """Make a planned change; return which steps were executed, and all steps of the run."""
    change = ChangeRequest(kind, payload)
    planned = await here.core.changes.plan(CALLER, base, change)
    actions = {step.step: step.action for step in planned.plan.steps()}
    accepted = await here.core.changes.update(CALLER, base, change, expected_plan_hash=planned.plan_hash)
    steps = await here.steps(await here.done(accepted))
    executed = {name for name, view in steps.items() if view["status"] == "completed"}
    assert not [name for name in executed if actions[name] == "reuse"]
    kept = {name: view["reusedFromRunId"] for name, view in steps.items() if name not in executed}
    assert set(kept.values()) <= {base}, "everything that was not executed is the base run's"
    return executed, steps


async def test_a_change_of_the_campaign_executes_what_it_needs_and_no_more(
    database_url: str, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    async with open_echo_world(database_url, tmp_path, skills()) as here:
        base = await build(here, "campaign.build.v1")
        for kind, payload, expected in CHANGES:
            with subtests.test(kind, payload=payload):
                executed, steps = await update(here, base, kind, payload)
                assert executed == expected
                assert len(steps) == 13


async def test_a_change_of_tempo_leaves_the_effects_unchanged(database_url: str, tmp_path: Path) -> None:
    async with open_echo_world(database_url, tmp_path, skills()) as here:
        base = await build(here, "campaign.build.v1")
        _, steps = await update(here, base, "audio.update", {"audio": {"tempo": 90}})
        assert steps["generate_sfx_pack"]["hitReason"] == "unchanged"
        assert steps["game_config_from_template"]["hitReason"] == "reused"


async def test_a_full_rebuild_executes_every_step_and_makes_the_same_again(database_url: str, tmp_path: Path) -> None:
    async with open_echo_world(database_url, tmp_path, skills()) as here:
        base = await build(here, "campaign.build.v1")
        before = await here.steps(base)
        executed, after = await update(here, base, "full_rebuild", {})
        assert executed == set(before)
        assert {name: view["outputArtifactIds"] for name, view in after.items()} == {
            name: view["outputArtifactIds"] for name, view in before.items()
        }


async def test_replacing_the_treasure_makes_nothing_else_than_the_game_anew(database_url: str, tmp_path: Path) -> None:
    async with open_echo_world(database_url, tmp_path, skills()) as here:
        base = await build(here, "campaign.build3d.v1")
        executed, _ = await update(here, base, "asset3d.replace", ASSET)
        assert executed == {"generate_3d_asset", "optimize_3d_asset", *GAME}
