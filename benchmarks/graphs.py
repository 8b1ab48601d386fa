"""Graphs for benchmarks: the shape of a real workflow, with a configurable skill."""

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
"""The change types of the same workflow and their seeds, except `full_rebuild`."""


def levels() -> list[list[str]]:
    """Return the steps level by level: each step depends only on steps of earlier levels."""
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

    The input of each step is its name, `trigger.seed` and the data of its dependencies: a payload with a new seed
    misses the cache at every step, an old one hits it at every step.

    Args:
        skill_id: what every step calls; it takes `{step, seed, upstream}` and may return any JSON.
        name: the name of the workflow.
        version: the version of the workflow.
        cached: whether results are stored and looked up.
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
