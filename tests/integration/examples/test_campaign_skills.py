"""The skills of the campaign example make what they say, and the same bytes every time."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmarks.graphs import CAMPAIGN_EDGES
from examples.campaign.skills.image import find_button
from examples.campaign.skills.mesh import Mesh, glb, lathe, obj, read_glb, read_obj
from examples.campaign.skills.synth import RATE, Loop, read_wav, wav
from examples.campaign.skills.video import turns
from orchestrator.skills import SkillError, SkillRegistry, StepContext
from tests.integration.examples.workshop import AUDIO_UPDATE, BRIEF, FOLDER, Build, Workshop, pack

AUDIO_STEPS = {"generate_bgm_track", "generate_sfx_pack", "mix_audio_for_game"}
BEHIND_THE_GAME = {"bundle_game_template", "assemble_campaign_manifest", "validate_game_bundle"}


class TestBuilds:
    def test_two_builds_are_equal_to_the_byte(self, build: Build, tmp_path: Path) -> None:
        again = Workshop(tmp_path / "elsewhere").build("campaign.build.v1", BRIEF)
        assert again.executed == set(CAMPAIGN_EDGES)
        for step in CAMPAIGN_EDGES:
            assert again.outputs[step].data == build.outputs[step].data, step
            assert again.hashes(step) == build.hashes(step), step

    def test_every_step_but_the_plan_leaves_files_and_none_is_large(self, build3d: Build) -> None:
        files = {step: output.artifacts for step, output in build3d.outputs.items()}
        assert {step for step, artifacts in files.items() if not artifacts} == {"campaign_plan_from_brief"}
        assert max(artifact.size_bytes for artifacts in files.values() for artifact in artifacts) < 1_500_000

    def test_an_audio_update_makes_only_sound_and_what_holds_it(self, workshop: Workshop, build: Build) -> None:
        update = workshop.build("campaign.build.v1", BRIEF | AUDIO_UPDATE)
        assert update.executed == AUDIO_STEPS | BEHIND_THE_GAME
        same = {step for step in CAMPAIGN_EDGES if update.outputs[step] == build.outputs[step]}
        assert same == set(CAMPAIGN_EDGES) - AUDIO_STEPS - BEHIND_THE_GAME
        before, after = workshop.game(build), workshop.game(update)
        changed = {name for name in before if before[name] != after[name]}
        assert "sound/music.wav" in changed
        assert all(name.startswith("sound/") for name in changed)

    def test_a_change_of_tempo_leaves_the_effects_alone(self, workshop: Workshop, build: Build) -> None:
        update = workshop.build("campaign.build.v1", BRIEF | {"audio": {"tempo": 90}})
        assert update.executed == {"generate_bgm_track", "mix_audio_for_game"} | BEHIND_THE_GAME

    def test_wishing_for_what_the_plan_says_changes_nothing(self, workshop: Workshop, build: Build) -> None:
        music = build.outputs["campaign_plan_from_brief"].data["music"]
        assert workshop.build("campaign.build.v1", BRIEF | {"audio": music}).executed == set()

    def test_a_new_intro_leaves_the_shape_of_its_button_as_it_was(self, workshop: Workshop, build: Build) -> None:
        update = workshop.build("campaign.build.v1", BRIEF | {"intro": {"title": "Harbor of Dust"}})
        assert update.executed == {
            "generate_intro_image",
            "segment_start_button",
            "generate_intro_video_loop",
            "assemble_campaign_manifest",
        }
        assert update.hashes("segment_start_button") == build.hashes("segment_start_button")

    def test_rules_and_outcomes_reach_what_depends_on_them(self, workshop: Workshop, build: Build) -> None:
        rules = workshop.build("campaign.build.v1", BRIEF | {"game": {"rules": {"goal": 5}}})
        assert rules.executed == {"game_config_from_template"} | BEHIND_THE_GAME
        outcome = workshop.build("campaign.build.v1", BRIEF | {"outcome": {"win": {"text": "Hooray"}}})
        assert outcome.executed == {"generate_outcome_video_win", "assemble_campaign_manifest"}

    def test_the_3d_campaign_makes_only_its_model_anew(self, build: Build, build3d: Build) -> None:
        assert build3d.executed == {"generate_3d_asset", "optimize_3d_asset"} | BEHIND_THE_GAME

    def test_the_manifest_names_what_its_steps_made(self, workshop: Workshop, build: Build) -> None:
        manifest = json.loads(workshop.read(build, "assemble_campaign_manifest", "manifest.json"))
        listed = {item["filename"]: item["contentHash"] for item in manifest["files"]}
        for step in CAMPAIGN_EDGES["assemble_campaign_manifest"]:
            assert build.hashes(step).items() <= listed.items()

    def test_the_folder_holds_the_same_skills_as_the_package(self, workshop: Workshop) -> None:
        by_path = SkillRegistry()
        by_path.load_modules([str(FOLDER / "skills")])
        assert by_path.ids == workshop.registry.ids
        assert len(by_path.ids) == 14

    def test_two_files_of_one_name_have_no_place_in_a_manifest(self, workshop: Workshop) -> None:
        one = {"filename": "a.png", "type": "image/png", "contentHash": "1", "sizeBytes": 1}
        request = {"title": "T", "tagline": "t", "button": [0, 0, 1, 1], "files": [one, one | {"contentHash": "2"}]}
        with pytest.raises(SkillError, match=r"different files are called a\.png"):
            workshop.perform("campaign.manifest", request)


class TestPictures:
    @pytest.mark.parametrize("style", ["neon", "ocean", "forest"])
    def test_the_button_is_found_where_it_was_drawn(self, workshop: Workshop, style: str) -> None:
        payload = {"brief": {"title": "Any", "style": style, "mood": "tense"}}
        made = workshop.build("campaign.build.v1", payload, until="segment_start_button")
        left, top, width, height = made.outputs["segment_start_button"].data["bbox"]
        assert abs(left + width / 2 - 480) < 3
        assert abs(top + height / 2 - 540 * 0.82) < 3
        assert (width, height) == pytest.approx((211, 67), abs=4)

    def test_holes_are_filled_and_specks_left_out(self) -> None:
        pixels = np.zeros((60, 90, 3), np.uint8)
        pixels[10:40, 20:70] = (250, 100, 0)
        pixels[20:25, 30:40] = 0
        pixels[50:55, 5:10] = (250, 100, 0)
        found = find_button(pixels, "#fa6400")
        assert found is not None
        expected = np.zeros((60, 90), np.bool_)
        expected[10:40, 20:70] = True
        assert (found == expected).all()

    def test_the_parts_of_a_fork_are_one_area(self) -> None:
        pixels = np.zeros((60, 90, 3), np.uint8)
        for left in (10, 30, 50):
            pixels[5:40, left : left + 10] = 255
        pixels[40:45, 10:60] = 255
        found = find_button(pixels, "#ffffff")
        assert found is not None
        assert found[5:40, 10:60].all()

    def test_a_picture_without_a_button_is_refused_for_good(self, workshop: Workshop) -> None:
        buffer = io.BytesIO()
        Image.new("RGB", (64, 64), "#102030").save(buffer, "PNG")
        with pytest.raises(SkillError, match="BUTTON_NOT_FOUND") as caught:
            workshop.perform("image.segment_button", {"picture": workshop.keep(buffer.getvalue()), "colour": "#ff0000"})
        assert caught.value.retryable is False

    @pytest.mark.parametrize(
        ("step", "filename"),
        [
            ("generate_intro_video_loop", "intro_loop.webp"),
            ("generate_outcome_video_win", "outcome_win.webp"),
            ("generate_outcome_video_lose", "outcome_lose.webp"),
        ],
    )
    def test_animations_move(self, workshop: Workshop, build: Build, step: str, filename: str) -> None:
        animation = Image.open(io.BytesIO(workshop.read(build, step, filename)))
        assert (animation.size, getattr(animation, "n_frames", 1)) == ((480, 270), 24)
        first = np.asarray(animation.convert("RGB"), np.int16)
        animation.seek(12)
        assert np.abs(np.asarray(animation.convert("RGB"), np.int16) - first).max() > 60

    def test_an_animation_stops_when_it_is_cancelled(self, workshop: Workshop) -> None:
        ctx = StepContext("run", "step", sink=workshop.store)
        frames = turns(ctx)
        assert next(frames) == 0
        ctx.cancel()
        with pytest.raises(SkillError, match="SKILL_CANCELLED: cancelled at frame 1 of 24"):
            next(frames)


class TestSound:
    def test_music_is_as_long_as_its_bars(self, workshop: Workshop, build: Build) -> None:
        music = read_wav(workshop.read(build, "generate_bgm_track", "bgm.wav"))
        tempo = build.outputs["campaign_plan_from_brief"].data["music"]["tempo"]
        assert music.shape == (round(16 * 60 / tempo * RATE), 2)
        assert 0.05 < np.sqrt((music**2).mean()) < 0.5

    def test_music_is_in_its_key(self, workshop: Workshop) -> None:
        made = workshop.perform("audio.generate_bgm", {"style": "ambient", "tempo": 100, "root": 48, "mode": "major"})
        sound = read_wav(workshop.store.read(made.artifacts[0])).mean(axis=1)
        level = np.abs(np.fft.rfft(sound))
        hertz = np.fft.rfftfreq(len(sound), 1 / RATE)
        heard = (hertz > 120) & (hertz < 500)
        notes = np.round(69 + 12 * np.log2(hertz[heard] / 440)).astype(int) % 12
        strength = np.bincount(notes, level[heard] ** 2, minlength=12)
        assert strength[[0, 2, 4, 5, 7, 9, 11]].sum() > 0.9 * strength.sum()

    def test_a_loop_goes_on_where_it_ends(self) -> None:
        tape = Loop(1.0)
        tape.add(np.ones(RATE // 2), 0.75, 1.0)
        assert tape.samples[-1, 0] > 0.5
        assert tape.samples[RATE // 4 - 1, 0] > 0.5
        assert tape.samples[RATE // 4 + 1, 0] == 0

    @settings(max_examples=40)
    @given(music=st.floats(0, 1), effects=st.floats(0, 1))
    def test_a_mix_never_clips(self, workshop: Workshop, music: float, effects: float) -> None:
        square = workshop.keep(wav(np.where(np.arange(400) % 40 < 20, 0.9, -0.9)))
        made = workshop.perform(
            "audio.mix",
            {
                "music": square,
                "effects": [square | {"filename": "hit.wav"}],
                "levels": {"music": music, "effects": effects},
            },
        )
        peaks = [np.abs(read_wav(workshop.store.read(artifact))).max() for artifact in made.artifacts]
        assert len(peaks) == 2
        assert sum(peaks) < 0.8905
        assert peaks[0] * effects == pytest.approx(peaks[1] * music, abs=1e-4)

    def test_a_damaged_file_is_refused_for_good(self, workshop: Workshop) -> None:
        with pytest.raises(SkillError, match=r"AUDIO_UNREADABLE: music\.wav: not a WAV file") as caught:
            workshop.perform("audio.mix", {"music": workshop.keep(b"no sound"), "effects": []})
        assert caught.value.retryable is False


class TestModel:
    def test_a_cube_welds_to_eight_corners(self) -> None:
        box = lathe([(0.0, 1.0), (1.0, 1.0), (1.0, -1.0), (0.0, -1.0)], 4)
        assert len(box.vertices) == 72
        welded = box.welded()
        assert (len(welded.vertices), len(welded.faces)) == (10, 16)  # 8 corners, 2 poles
        edges = np.concatenate([welded.faces[:, [0, 1]], welded.faces[:, [1, 2]], welded.faces[:, [2, 0]]])
        _, uses = np.unique(np.sort(edges, axis=1), axis=0, return_counts=True)
        assert (uses == 2).all()  # closed: every edge between two triangles

    @settings(max_examples=20)
    @given(most=st.integers(24, 600))
    def test_simplifying_keeps_the_bounds_and_its_word(self, most: int) -> None:
        welded = lathe([(0.0, 1.0), (0.9, 0.5), (1.0, 0.0), (0.9, -0.5), (0.0, -1.0)], 48).welded()
        small = welded.simplified(most)
        assert 0 < len(small.faces) <= most
        assert np.isin(np.arange(len(small.vertices)), small.faces).all()
        assert np.abs(small.vertices).max() <= 1.0 + 1e-6

    def test_both_formats_give_back_what_they_were_given(self) -> None:
        mesh = Mesh(np.asarray([[0, 0, 0], [1, 0, 0], [0, 1, 0.5]], np.float32), np.asarray([[0, 1, 2]], np.uint32))
        for back in (read_obj(obj(mesh)), read_glb(glb(mesh, "one"))):
            assert (back.vertices == mesh.vertices).all()
            assert (back.faces == mesh.faces).all()

    def test_the_model_was_made_lighter_and_is_shown(self, workshop: Workshop, build3d: Build) -> None:
        counts = build3d.outputs["optimize_3d_asset"].data
        assert counts["raw"]["vertices"] > counts["welded"]["vertices"] > counts["optimized"]["vertices"]
        assert counts["optimized"]["faces"] <= 160
        files = workshop.game(build3d)
        shown = json.loads(files["campaign.js"].decode().removeprefix("window.CAMPAIGN = ").rstrip(";\n"))["model"]
        assert len(shown["vertices"]) == counts["optimized"]["vertices"]
        assert len(read_glb(files["model/treasure.glb"]).faces) == counts["optimized"]["faces"]

    def test_a_file_that_is_no_model_is_refused_for_good(self, workshop: Workshop) -> None:
        with pytest.raises(SkillError, match="MESH_UNREADABLE: unexpected line 'hello'") as caught:
            workshop.perform("asset3d.optimize", {"mesh": workshop.keep(b"hello"), "name": "gem"})
        assert caught.value.retryable is False


class TestGame:
    def test_the_single_page_needs_nothing_else(self, workshop: Workshop, build3d: Build) -> None:
        page = workshop.read(build3d, "bundle_game_template", "index.html").decode()
        assert "%%" not in page
        assert page.count('src="data:') == 7
        assert page.count('src="') == 7

    def test_a_text_cannot_break_out_of_the_page(self, workshop: Workshop) -> None:
        nasty = "<!--</script><script>%%SOUNDS%%"
        payload = {"brief": {"title": nasty, "style": "ocean"}}
        made = workshop.build("campaign.build.v1", payload, until="validate_game_bundle")
        page = workshop.read(made, "bundle_game_template", "index.html").decode()
        assert "<title>&lt;!--&lt;/script&gt;&lt;script&gt;%%SOUNDS%%</title>" in page
        assert (page.count("<!--"), page.count("<script>"), page.count("</script>")) == (0, 2, 2)

    @pytest.mark.parametrize(
        ("rules", "message"),
        [
            ({"gravity": 1}, "unknown rules \\['gravity'\\]"),
            ({"lives": 99}, "lives\n +Input should be less than or equal to 9"),
            ({"lives": 1.5}, "lives\n +Input should be a valid integer"),
        ],
    )
    def test_rules_that_cannot_be_are_refused(self, workshop: Workshop, rules: dict[str, float], message: str) -> None:
        with pytest.raises(SkillError, match=message) as caught:
            workshop.perform("game.config", {"difficulty": "easy", "rules": rules})
        assert (caught.value.code, caught.value.retryable) == ("SKILL_INPUT_INVALID", False)

    def test_a_sound_bundle_passes_every_check(self, build3d: Build) -> None:
        report = build3d.outputs["validate_game_bundle"].data
        assert report["valid"] is True
        assert list(report["checks"]) == ["archive", "page", "references", "sounds", "pictures", "models", "rules"]

    @pytest.mark.parametrize("place", ["middle", "end"])
    def test_a_damaged_archive_is_caught(self, workshop: Workshop, build: Build, place: str) -> None:
        content = bytearray(workshop.read(build, "bundle_game_template", "game.zip"))
        if place == "middle":
            content[len(content) // 2] ^= 0xFF
        else:
            del content[-100:]
        with pytest.raises(SkillError, match="GAME_BUNDLE_INVALID: archive: cannot be read"):
            workshop.perform("game.validate", {"bundle": workshop.keep(bytes(content))})

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"index.html": None}, "index.html is missing"),
            ({"index.html": b"<html><p></html>"}, "</html> at line 1 closes nothing"),
            ({"sound/win.wav": None}, "references: not in the bundle: \\['sound/win.wav'\\]"),
            ({"sound/win.wav": b"RIFF"}, "sounds: sound/win.wav: not a WAV file"),
            ({"sound/win.wav": wav(np.zeros(99))}, "sounds: sound/win.wav is silent"),
            ({"picture/backdrop.jpg": b"\xff\xd8\xff"}, "pictures: picture/backdrop.jpg: cannot identify image"),
            ({"model/treasure.glb": b"glTF"}, "models: model/treasure.glb: not a binary glTF 2.0 file"),
            ({"spare.txt": b"?"}, "used by nothing: \\['spare.txt'\\]"),
            ({"campaign.js": b"window.CAMPAIGN = {};"}, "rules: campaign.js: 'rules'"),
        ],
    )
    def test_a_broken_part_is_named(
        self, workshop: Workshop, build: Build, change: dict[str, bytes | None], message: str
    ) -> None:
        files: dict[str, Any] = workshop.game(build) | change
        content = pack({name: part for name, part in files.items() if part is not None})
        with pytest.raises(SkillError, match=message) as caught:
            workshop.perform("game.validate", {"bundle": workshop.keep(content)})
        assert (caught.value.code, caught.value.retryable) == ("GAME_BUNDLE_INVALID", False)

    def test_a_game_that_cannot_be_won_is_caught(self, workshop: Workshop) -> None:
        with pytest.raises(SkillError, match="cannot fairly be won: 54 stars fall for a goal of 120"):
            workshop.build(
                "campaign.build.v1", BRIEF | {"game": {"rules": {"goal": 120}}}, until="validate_game_bundle"
            )

    def test_all_problems_are_told_at_once(self, workshop: Workshop, build: Build) -> None:
        files = workshop.game(build) | {"sound/hit.wav": b"", "picture/backdrop.jpg": b""}
        with pytest.raises(SkillError) as caught:
            workshop.perform("game.validate", {"bundle": workshop.keep(pack(files))})
        assert [problem.split(":")[0] for problem in caught.value.details["problems"]] == ["sounds", "pictures"]
