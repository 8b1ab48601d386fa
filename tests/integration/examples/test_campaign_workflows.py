"""The workflow files of the campaign example are the ones documented."""

from typing import Any

import pytest

from benchmarks.graphs import CAMPAIGN_CHANGES, CAMPAIGN_EDGES, campaign_graph
from orchestrator.domain.errors import InvalidPayload
from orchestrator.domain.selectors import resolve_input
from orchestrator.workflows import check_payload, load_document, warnings
from tests.integration.examples.workshop import AUDIO_UPDATE, BRIEF, Workshop, document, workflow


class TestWorkflows:
    def test_the_edges_are_those_documented(self) -> None:
        steps = document("campaign.build.v1")["steps"]
        assert {step["stepId"]: tuple(step.get("dependsOn", ())) for step in steps} == CAMPAIGN_EDGES
        assert len(steps) == 13

    def test_the_skills_are_those_documented(self) -> None:
        assert {step.id: step.skill for step in workflow("campaign.build.v1").steps.values()} == {
            "campaign_plan_from_brief": "planning.generate_campaign_plan",
            "generate_intro_image": "image.generate_intro",
            "segment_start_button": "image.segment_button",
            "generate_intro_video_loop": "video.generate_loop",
            "generate_bgm_track": "audio.generate_bgm",
            "generate_sfx_pack": "audio.generate_sfx",
            "mix_audio_for_game": "audio.mix",
            "game_config_from_template": "game.config",
            "bundle_game_template": "game.bundle",
            "generate_outcome_video_win": "video.generate_outcome",
            "generate_outcome_video_lose": "video.generate_outcome",
            "assemble_campaign_manifest": "campaign.manifest",
            "validate_game_bundle": "game.validate",
        }

    def test_the_3d_graph_adds_a_model_that_feeds_the_bundle(self) -> None:
        edges = {step.id: step.depends_on for step in workflow("campaign.build3d.v1").steps.values()}
        assert edges == {
            **CAMPAIGN_EDGES,
            "generate_3d_asset": ("campaign_plan_from_brief",),
            "optimize_3d_asset": ("generate_3d_asset",),
            "bundle_game_template": (*CAMPAIGN_EDGES["bundle_game_template"], "optimize_3d_asset"),
        }

    def test_both_files_agree_on_every_step_they_share(self) -> None:
        flat, deep = (
            {step["stepId"]: step for step in document(name)["steps"]}
            for name in ("campaign.build.v1", "campaign.build3d.v1")
        )
        assert {s for s in flat if flat[s] != deep[s]} == {"bundle_game_template", "assemble_campaign_manifest"}

    @pytest.mark.parametrize(
        ("name", "extra"),
        [
            ("campaign.build.v1", {}),
            ("campaign.build3d.v1", {"asset3d.replace": {"seeds": ["generate_3d_asset", "optimize_3d_asset"]}}),
        ],
    )
    def test_the_change_types_are_those_documented(self, name: str, extra: dict[str, Any]) -> None:
        assert document(name)["changeTypes"] == {
            "audio.update": {"seeds": ["generate_bgm_track", "generate_sfx_pack", "mix_audio_for_game"]},
            "intro.update": {"seeds": ["generate_intro_image", "segment_start_button", "generate_intro_video_loop"]},
            "outcome.update": {"seeds": ["generate_outcome_video_win", "generate_outcome_video_lose"]},
            "game_config.update": {"seeds": ["game_config_from_template"]},
            "full_rebuild": {"seeds": "*", "force": True},
            **extra,
        }

    @pytest.mark.parametrize("name", ["campaign.build.v1", "campaign.build3d.v1"])
    def test_nothing_in_them_gives_cause_for_doubt(self, workshop: Workshop, name: str) -> None:
        assert warnings(workflow(name), set(workshop.registry.ids)) == []

    @pytest.mark.parametrize("name", ["campaign.build.v1", "campaign.build3d.v1"])
    def test_the_payloads_fit_the_schema(self, name: str) -> None:
        check_payload(workflow(name), BRIEF)
        check_payload(workflow(name), BRIEF | AUDIO_UPDATE)
        with pytest.raises(InvalidPayload, match="polka"):
            check_payload(workflow(name), BRIEF | {"audio": {"style": "polka"}})

    def test_the_benchmark_graph_has_the_same_shape(self) -> None:
        bench, real = load_document(campaign_graph("noop")), workflow("campaign.build.v1")
        assert {s.id: s.depends_on for s in bench.steps.values()} == {s.id: s.depends_on for s in real.steps.values()}
        assert {s.skill for s in bench.steps.values()} == {"noop"}
        assert {c: t.seeds for c, t in bench.change_types.items()} == {c: t.seeds for c, t in real.change_types.items()}
        assert set(CAMPAIGN_CHANGES) < set(real.change_types)
        last = resolve_input(
            bench.steps["mix_audio_for_game"].input,
            {"trigger": {"seed": 7}, "steps": {s: {"data": s} for s in bench.steps}},
        )
        assert last == {
            "step": "mix_audio_for_game",
            "seed": 7,
            "upstream": ["generate_bgm_track", "generate_sfx_pack"],
        }
