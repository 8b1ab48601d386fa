"""Graphs to measure with: real shapes, and steps that do whatever the measurement wants."""

from collections.abc import Mapping
from typing import Any

CAMPAIGN_EDGES: Mapping[str, tuple[str, ...]] = {
    "campaign_plan_from_brief": (),
    "generate_intro_image": ("campaign_plan_from_brief",),
    "segment_start_button": ("generate_intro_image",),
    "generate_intro_video_loop": ("generate_intro_image",),
    "generate_bgm_track": ("campaign_plan_from_brief",),
    "generate_sfx_pack": ("campaign_plan_from_brief",),
    "mix_audio_for_game": ("generate_bgm_track", "generate_sfx_pack"),
    "game_config_from_template": ("campaign_plan_from_brief",),
    "bundle_game_template": ("mix_audio_for_game", "game_config_from_template"),
    "generate_outcome_video_win": ("campaign_plan_from_brief",),
    "generate_outcome_video_lose": ("campaign_plan_from_brief",),
    "assemble_campaign_manifest": (
        "segment_start_button",
        "generate_intro_video_loop",
        "bundle_game_template",
        "generate_outcome_video_win",
        "generate_outcome_video_lose",
    ),
    "validate_game_bundle": ("bundle_game_template",),
}
"""The 13 steps of `examples/campaign/campaign.build.v1.yaml`, each with the steps it depends on."""

CAMPAIGN_CHANGES: Mapping[str, tuple[str, ...]] = {
    "audio.update": ("generate_bgm_track", "generate_sfx_pack", "mix_audio_for_game"),
    "intro.update": ("generate_intro_image", "segment_start_button", "generate_intro_video_loop"),
    "outcome.update": ("generate_outcome_video_win", "generate_outcome_video_lose"),
    "game_config.update": ("game_config_from_template",),
}
"""The change types of the same workflow and their seeds, but for `full_rebuild`."""


def levels() -> list[list[str]]:
    """Return the same steps level by level: each depends only on steps of the levels before."""
    found: list[list[str]] = []
    placed: set[str] = set()
    while len(placed) < len(CAMPAIGN_EDGES):
        level = [step for step, needed in CAMPAIGN_EDGES.items() if step not in placed and placed.issuperset(needed)]
        found.append(level)
        placed.update(level)
    return found


def campaign_graph(
    skill_id: str, *, name: str = "bench.campaign", version: str = "1.0.0", cached: bool = False
) -> dict[str, Any]:
    """Return a workflow document with the shape of `campaign.build.v1` in which every step calls one skill.

    Each step is given its own name, `trigger.seed` and the data of the steps it depends on: a payload with a
    new seed misses every cache entry, an old one hits them all.

    Args:
        skill_id: what every step calls; it takes `{step, seed, upstream}` and may return any JSON.
        name: of the workflow.
        version: of the workflow.
        cached: whether results are kept and looked up.
    """
    return {
        "workflowName": name,
        "version": version,
        "description": "The graph of campaign.build.v1 with one skill in every step",
        "steps": [
            {
                "stepId": step,
                "skillId": skill_id,
                "dependsOn": list(needed),
                "input": {
                    "step": f"'{step}'",
                    "seed": "trigger.seed",
                    "upstream": f"[{', '.join(f'steps.{other}.data' for other in needed)}]" if needed else "`[]`",
                },
                "cachePolicy": {"enabled": cached, "scope": "global"},
            }
            for step, needed in CAMPAIGN_EDGES.items()
        ],
        "changeTypes": {
            **{change: {"seeds": list(seeds)} for change, seeds in CAMPAIGN_CHANGES.items()},
            "full_rebuild": {"seeds": "*", "force": True},
        },
    }
