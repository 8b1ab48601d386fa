"""What a change re-runs, may re-run and reuses, and the words for it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.change import ChangeRequest
from orchestrator.domain.errors import UnknownChangeType, UnknownStep
from orchestrator.domain.events import Reuse
from orchestrator.domain.plan import BaseRun, Plan, plan_change, plan_retry
from orchestrator.domain.run import maker_of
from orchestrator.domain.workflow import ChangeType, Step, Workflow

WORKFLOW = Workflow(
    "audio",
    "1",
    {
        step.id: step
        for step in (
            Step("plan", "s", (), {"brief": "trigger.brief"}),
            Step("music", "s", ("plan",), {"style": "trigger.audio.style", "plan": "steps.plan.data"}),
            Step("sounds", "s", ("plan",), {"plan": "steps.plan.data"}),
            Step("mix", "s", ("music", "sounds"), {"m": "steps.music.data", "s": "steps.sounds.data"}),
            Step("image", "s", ("plan",), {"title": "trigger.intro.title"}),
            Step("bundle", "s", ("mix", "image"), {"all": "[steps.mix.data, steps.image.data]"}),
        )
    },
    {"audio": ChangeType(("music", "mix")), "all": ChangeType(None, force=True)},
)
BASE = BaseRun("base", {"brief": "b", "audio": {"style": "calm"}, "intro": {"title": "t"}})


def actions(plan: Plan) -> dict[str, str]:
    return {step.step: step.action for step in plan.steps()}


def test_seeds_run_what_is_downstream_may_run_and_the_rest_is_reused() -> None:
    plan = plan_change(WORKFLOW, BASE, ChangeRequest("audio", {"audio": {"style": "wild"}}))
    assert actions(plan) == {
        "plan": "reuse",
        "music": "run",
        "sounds": "reuse",
        "image": "reuse",
        "mix": "run",
        "bundle": "may_run",
    }
    assert plan.impacted == ("music", "mix", "bundle")
    assert plan.payload == {"brief": "b", "audio": {"style": "wild"}, "intro": {"title": "t"}}


def test_the_reason_and_the_chain_are_told_in_words() -> None:
    plan = plan_change(WORKFLOW, BASE, ChangeRequest("audio", {}))
    told = {step.step: (step.reason, step.chain) for step in plan.steps()}
    assert told["music"] == ("seed of audio", ("music",))
    assert told["bundle"] == ("depends on mix, if its result changes", ("mix", "bundle"))
    assert told["image"] == ("not affected by the change", ())


def test_a_step_that_reads_what_the_change_alters_is_a_seed_too() -> None:
    plan = plan_change(WORKFLOW, BASE, ChangeRequest("audio", {"intro": {"title": "new"}}))
    assert plan.seeds["image"] == "reads trigger.intro.title, which the change alters"


def test_a_patch_needs_no_mapping() -> None:
    plan = plan_change(WORKFLOW, BASE, ChangeRequest("payload.patch", {"audio": {"style": "wild"}}))
    assert dict(plan.seeds) == {"music": "reads trigger.audio.style, which the change alters"}
    assert not plan_change(WORKFLOW, BASE, ChangeRequest("payload.patch", {"brief": "b"})).impacted


def test_force_names_steps_or_all_the_seeds() -> None:
    assert plan_change(WORKFLOW, BASE, ChangeRequest("audio", {}, ("image",))).forced == ("image",)
    assert plan_change(WORKFLOW, BASE, ChangeRequest("audio", {}, True)).forced == ("music", "mix")
    assert set(plan_change(WORKFLOW, BASE, ChangeRequest("all", {})).forced) == set(WORKFLOW.steps)


def test_a_result_that_is_gone_is_made_again() -> None:
    plan = plan_change(WORKFLOW, BASE, ChangeRequest("audio", {}), gone=("sounds",))
    assert actions(plan)["sounds"] == "run"
    assert plan.seeds["sounds"] == "its earlier result is no longer available"


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownChangeType, match=r"it has audio, all, payload\.patch"):
        plan_change(WORKFLOW, BASE, ChangeRequest("video", {}))
    with pytest.raises(UnknownStep, match="did you mean 'image'"):
        plan_change(WORKFLOW, BASE, ChangeRequest("audio", {}, ("imaje",)))


def test_a_retry_starts_at_what_was_not_completed() -> None:
    plan = plan_retry(WORKFLOW, BASE, {"plan", "music", "image"})
    assert plan.impacted == ("sounds", "mix", "bundle")


def test_the_hash_tells_plans_apart() -> None:
    calm, wild = ChangeRequest("audio", {}), ChangeRequest("audio", {"audio": {"style": "wild"}})
    hashes = {
        plan_change(WORKFLOW, BASE, calm).hash,
        plan_change(WORKFLOW, BASE, wild).hash,
        plan_change(WORKFLOW, BaseRun("other", BASE.payload), calm).hash,
        plan_change(WORKFLOW, BASE, calm, gone=("plan",)).hash,
        plan_change(WORKFLOW, BASE, ChangeRequest("audio", {}, ("music",))).hash,
    }
    assert len(hashes) == 5
    assert plan_change(WORKFLOW, BASE, calm).hash in hashes


@given(st.lists(st.sets(st.sampled_from([f"s{n}" for n in range(6)]), min_size=1), min_size=1, max_size=30))
def test_a_chain_of_updates_knows_the_newest_maker_of_every_step(chain: list[set[str]]) -> None:
    steps = {f"s{n}": Step(f"s{n}", "s") for n in range(6)}
    workflow = Workflow("w", "1", steps, {"t": ChangeType(())})
    base = BaseRun("run0", {})
    makers = dict.fromkeys(steps, "run0")
    for number, touched in enumerate(chain, 1):
        plan = plan_change(workflow, base, ChangeRequest("t", {}, tuple(sorted(touched))))
        makers_before: dict[str, Any] = {step: maker_of(step, plan.reused) for step in steps}
        assert makers_before == makers
        makers |= dict.fromkeys(touched, f"run{number}")
        base = BaseRun(f"run{number}", {}, plan.impacted, plan.reused)
    named = [step for reuse in base.reused for step in reuse.steps or ()]
    assert len(named) <= len(steps), "the list grows with the chain"
    assert base.reused[-1] == Reuse("run0", None)
