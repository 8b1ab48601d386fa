"""Documents: what is loaded, and that every fault of a document is named at once."""

import copy
import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.documents.text import read_yaml
from orchestrator.domain.errors import InvalidWorkflow
from orchestrator.domain.workflow import CachePolicy, ChangeType, RetryPolicy, Step, workflow_to_json
from orchestrator.workflows import load_document, load_file
from tests.unit.workflows.documents import document, faults_of, step

CAMPAIGN = """\
workflowName: campaign.build.v1
version: "1.0.0"
description: Builds a playable campaign from a brief
payloadSchema: {type: object, required: [brief]}
steps:
  - stepId: plan
    skillId: planning.plan
    input: trigger.brief
  - stepId: bgm
    skillId: audio.generate_bgm
    dependsOn: [plan]
    input:
      style: trigger.brief.style
      mood: steps.plan.data.mood
      loop: "`true`"
    cachePolicy: {enabled: true, scope: run_only, ttlSeconds: 60}
    retryPolicy: {maxAttempts: 3, backoffMs: 3000, multiplier: 2, jitter: 0.1, nonRetryable: [SKILL_INPUT_INVALID]}
    timeoutMs: 600000
changeTypes:
  audio.update: {seeds: [bgm]}
  full_rebuild: {seeds: "*", force: true}
"""

FIVE_FAULTS = """\
workflowName: Campaign Build
version: "1.0.0"
steps:
  - stepId: plan
    skillId: planning.plan
    dependsOn: [bgm]
  - stepId: bgm
    skillId: audio.generate_bgm
    dependsOn: [plan, plam]
    input:
      mood: steps.plan.data.[
    retryPolicy:
      maxAttempts: 9
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


class TestLoading:
    def test_yaml_and_json_give_the_same_workflow(self, tmp_path: Path) -> None:
        loaded = load_file(write(tmp_path, "w.yaml", CAMPAIGN))
        again = load_file(write(tmp_path, "w.json", json.dumps(workflow_to_json(loaded))))
        assert again == loaded
        assert again.digest == loaded.digest

    def test_every_field_arrives(self, tmp_path: Path) -> None:
        workflow = load_file(str(write(tmp_path, "w.yml", CAMPAIGN)))
        assert (workflow.name, workflow.version) == ("campaign.build.v1", "1.0.0")
        assert workflow.description == "Builds a playable campaign from a brief"
        assert workflow.payload_schema == {"type": "object", "required": ["brief"]}
        assert workflow.change_types == {
            "audio.update": ChangeType(("bgm",)),
            "full_rebuild": ChangeType(None, force=True),
        }
        assert workflow.steps["plan"] == Step("plan", "planning.plan", (), "trigger.brief")
        assert workflow.steps["bgm"] == Step(
            "bgm",
            "audio.generate_bgm",
            ("plan",),
            {"style": "trigger.brief.style", "mood": "steps.plan.data.mood", "loop": "`true`"},
            CachePolicy(scope="run_only", ttl_seconds=60),
            RetryPolicy(3, 3000, non_retryable=("SKILL_INPUT_INVALID",)),
            600_000,
        )

    def test_fields_that_may_be_null_may_be_null(self) -> None:
        nothing = dict.fromkeys(["input", "cachePolicy", "retryPolicy", "timeoutMs", "dependsOn"])
        workflow = load_document(
            document({**step("a"), **nothing}, changeTypes=None, payloadSchema=None, maxParallelSteps=None)
        )
        assert workflow == load_document(document())

    def test_the_workflow_shares_nothing_with_its_document(self) -> None:
        source = document(step("a", input={"x": "trigger.x"}), payloadSchema={"properties": {"x": {"type": "string"}}})
        workflow = load_document(source)
        before = copy.deepcopy(workflow_to_json(workflow))
        source["steps"][0]["input"]["x"] = "trigger.y"
        source["payloadSchema"]["properties"]["x"]["type"] = "number"
        assert workflow_to_json(workflow) == before

    @pytest.mark.slow
    def test_ten_thousand_steps_load_in_well_under_two_seconds(self, tmp_path: Path) -> None:
        steps = [
            step(
                f"step_{index}",
                *([f"step_{index - 1}"] if index else []),
                input={
                    "style": f"trigger.brief.style{index}",
                    "mood": "steps.step_0.data.mood" if index else "trigger.m",
                },
                retryPolicy={"maxAttempts": 3, "backoffMs": 3000},
            )
            for index in range(10_000)
        ]
        path = write(tmp_path, "large.json", json.dumps(document(*steps)))
        started = time.process_time()
        workflow = load_file(path)
        assert time.process_time() - started < 2
        assert len(workflow.steps) == 10_000

    def test_more_than_ten_thousand_steps_are_refused(self) -> None:
        found = faults_of(document(*(step(f"s{index}") for index in range(10_001))))
        assert list(found) == ["steps"]
        assert found["steps"] == "has 10,001 entries, more than 10,000"


class TestFaults:
    def test_five_faults_are_reported_at_once_with_their_places(self, tmp_path: Path) -> None:
        path = write(tmp_path, "faulty.yaml", FIVE_FAULTS)
        with pytest.raises(InvalidWorkflow) as caught:
            load_file(path)
        assert [(fault.path, fault.message) for fault in caught.value.faults] == [
            ("steps[0].dependsOn[0]", "dependency cycle, where each step depends on the next: plan -> bgm -> plan"),
            ("steps[1].dependsOn[1]", "unknown step 'plam'; did you mean 'plan'?"),
            (
                "steps[1].input.mood",
                "cannot parse 'steps.plan.data.[': Invalid jmespath expression: Incomplete expression",
            ),
            ("steps[1].retryPolicy.maxAttempts", "must be at most 5, not 9"),
            ("workflowName", "string must match pattern '^[a-z0-9_][a-z0-9._-]{0,254}$', not 'Campaign Build'"),
        ]
        assert str(caught.value).startswith(f"{path} has 5 faults:\n  steps[0].dependsOn[0]: dependency cycle")
        assert caught.value.details["faults"][4]["path"] == "workflowName"

    def test_shape_and_meaning_are_checked_in_one_go(self) -> None:
        found = faults_of(
            document(
                {"stepId": "a b", "skillId": "", "dependOn": []},
                step("c", "nowhere", timeoutMs=0),
                version="",
                extra=1,
            )
        )
        assert found == {
            "extra": "unknown field; known fields: workflowName, version, description, payloadSchema, steps, "
            "changeTypes, maxParallelSteps",
            "steps[0].dependOn": "unknown field; did you mean 'dependsOn'?",
            "steps[0].skillId": "string must match pattern '^[^\\s\\x00-\\x1f\\x7f]{1,255}$', not ''",
            "steps[0].stepId": "string must match pattern '^[A-Za-z0-9_][A-Za-z0-9._-]{0,254}$', not 'a b'",
            "steps[1].dependsOn[0]": "unknown step 'nowhere'",
            "steps[1].timeoutMs": "must be greater than 0, not 0",
            "version": "string must have at least 1 character, not ''",
        }

    def test_a_step_with_a_fault_is_still_there_for_the_others(self) -> None:
        found = faults_of(document({**step("a"), "timeoutMs": -1}, step("b", "a", input="steps.a.data")))
        assert list(found) == ["steps[0].timeoutMs"]

    @pytest.mark.parametrize("found", [None, [], "text", 3])
    def test_a_document_is_an_object(self, found: Any) -> None:
        assert faults_of(found) == {"document": f"must be an object, not {found!r}"}

    def test_an_empty_document_lacks_three_fields(self) -> None:
        assert faults_of({}) == dict.fromkeys(["steps", "version", "workflowName"], "is required")

    def test_a_workflow_has_a_step(self) -> None:
        assert "at least 1 item" in faults_of({**document(), "steps": []})["steps"]

    @pytest.mark.parametrize(
        ("fields", "path", "message"),
        [
            ({"workflowName": "Not Lower"}, "workflowName", "must match pattern"),
            ({"workflowName": "a" * 256}, "workflowName", "must match pattern"),
            ({"workflowName": "a\n"}, "workflowName", "must match pattern"),
            ({"version": 1.0}, "version", "valid string, not 1.0; put it in quotes"),
            ({"version": "1" * 65}, "version", "at most 64 characters"),
            ({"description": 3}, "description", "valid string"),
            ({"payloadSchema": []}, "payloadSchema", "valid dictionary"),
            ({"maxParallelSteps": 0}, "maxParallelSteps", "greater than or equal to 1"),
            ({"changeTypes": []}, "changeTypes", "valid dictionary"),
            ({"changeTypes": {"t": {}}}, "changeTypes.t.seeds", "is required"),
            ({"changeTypes": {"a.b": {"seeds": "*", "force": "yes"}}}, 'changeTypes["a.b"].force', "valid boolean"),
            ({"changeTypes": {"t": {"seeds": "*", "forced": True}}}, "changeTypes.t.forced", "did you mean 'force'?"),
            ({"changeTypes": {"": {"seeds": "*"}}}, 'changeTypes[""]', "at least 1 character"),
            ({"steps": {}}, "steps", "valid list"),
            ({"steps": ["a"]}, "steps[0]", "valid dictionary"),
        ],
    )
    def test_fields_of_the_workflow(self, fields: dict[str, Any], path: str, message: str) -> None:
        found = faults_of({**document(), **fields})
        assert list(found) == [path]
        assert message in found[path]

    @pytest.mark.parametrize(
        ("fields", "path", "message"),
        [
            ({"stepId": None}, "stepId", "valid string"),
            ({"stepId": "a" * 256}, "stepId", "must match pattern"),
            ({"skillId": "a skill"}, "skillId", "must match pattern"),
            ({"dependsOn": "a"}, "dependsOn", "valid list"),
            ({"dependsOn": [1]}, "dependsOn[0]", "valid string"),
            ({"timeoutMs": 1.5}, "timeoutMs", "valid integer"),
            ({"timeoutMs": True}, "timeoutMs", "valid integer"),
            ({"timeoutMs": 2_592_000_001}, "timeoutMs", "less than or equal to 2592000000, not 2592000001"),
            ({"cachePolicy": {"ttlSeconds": 2**53 - 1}}, "cachePolicy.ttlSeconds", "less than or equal to 315360000"),
            ({"retryPolicy": {"backoffMs": 9 * 10**14}}, "retryPolicy.backoffMs", "less than or equal to 2592000000"),
            ({"retryPolicy": {"maxBackoffMs": 10**400}}, "retryPolicy.maxBackoffMs", "less than or equal to"),
            ({"retryPolicy": {"backoffMs": 1e9}}, "retryPolicy.backoffMs", "valid integer"),
            ({"retryPolicy": {"multiplier": float("inf")}}, "retryPolicy.multiplier", "less than or equal to 1000"),
            ({"retryPolicy": {"jitter": True}}, "retryPolicy.jitter", "valid number"),
            ({"cachePolicy": {"scope": "run"}}, "cachePolicy.scope", "must be 'global' or 'run_only', not 'run'"),
            ({"cachePolicy": {"ttlSeconds": 0}}, "cachePolicy.ttlSeconds", "greater than 0"),
            ({"cachePolicy": {"enabled": "true"}}, "cachePolicy.enabled", "valid boolean"),
            ({"cachePolicy": {"ttl": 1}}, "cachePolicy.ttl", "known fields: enabled, scope, ttlSeconds"),
            ({"retryPolicy": {"maxAttempts": 0}}, "retryPolicy.maxAttempts", "greater than or equal to 1"),
            ({"retryPolicy": {"backoffMs": -1}}, "retryPolicy.backoffMs", "greater than or equal to 0"),
            ({"retryPolicy": {"maxBackoffMs": -1}}, "retryPolicy.maxBackoffMs", "greater than or equal to 0"),
            ({"retryPolicy": {"multiplier": 0.5}}, "retryPolicy.multiplier", "greater than or equal to 1"),
            ({"retryPolicy": {"jitter": 1.1}}, "retryPolicy.jitter", "less than or equal to 1"),
            ({"retryPolicy": {"nonRetryable": "X"}}, "retryPolicy.nonRetryable", "valid list"),
            ({"retryPolicy": {"maxAtempts": 2}}, "retryPolicy.maxAtempts", "did you mean 'maxAttempts'?"),
            ({"retryPolicy": 3}, "retryPolicy", "valid dictionary"),
            ({"executor": "far away"}, "executor", "must match pattern"),
            ({"executor": ""}, "executor", "must match pattern"),
            ({"requires": "gpu"}, "requires", "valid list"),
            ({"requires": ["a b"]}, "requires[0]", "must match pattern"),
            ({"requires": ["a"] * 33}, "requires", "has 33 entries, more than 32"),
            ({"resources": {"cpu": 0}}, "resources.cpu", "greater than 0"),
            ({"resources": {"cpu": float("inf")}}, "resources.cpu", "less than or equal to 10000"),
            ({"resources": {"memory": 2**50 + 1}}, "resources.memory", "less than or equal to"),
            ({"resources": {"memory": "2Gi"}}, "resources.memory", "valid integer"),
            ({"resources": {"gpu": 1001}}, "resources.gpu", "less than or equal to 1000"),
            ({"resources": {"gpus": 1}}, "resources.gpus", "did you mean 'gpu'?"),
        ],
    )
    def test_fields_of_a_step(self, fields: dict[str, Any], path: str, message: str) -> None:
        found = faults_of(document({**step("a"), **fields}))
        assert list(found) == [f"steps[0].{path}"]
        assert message in found[f"steps[0].{path}"]


rubbish = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["plan", "*", "@"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.data())
def test_a_document_with_rubbish_in_any_place_is_loaded_or_refused(data: st.DataObject) -> None:
    found, _ = read_yaml(CAMPAIGN, "campaign")
    at = found
    while True:
        key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
        if not at[key] or not isinstance(at[key], dict | list) or data.draw(st.integers(0, 2)) == 0:
            at[key] = data.draw(rubbish)
            break
        at = at[key]
    if not faults_of(found):
        workflow = load_document(found)
        assert load_document(workflow_to_json(workflow)).digest == workflow.digest


class TestPlainData:
    @pytest.mark.parametrize(
        ("value", "message"),
        [
            (float("nan"), "nan is not a JSON number"),
            (float("inf"), "inf is not a JSON number"),
            (2**53, "is an integer beyond 2**53 - 1, which JSON cannot represent exactly"),
            ("\ud800", "contains a lone surrogate, which is not a valid character"),
            ("a\x00b", "contains a NUL character, which cannot be stored"),
            (b"bytes", "bytes is not a JSON type"),
            (("a",), "tuple is not a JSON type"),
        ],
    )
    def test_what_is_not_json_is_named(self, value: Any, message: str) -> None:
        assert faults_of(document(payloadSchema={"x-note": [value]})) == {"payloadSchema.x-note[0]": message}

    def test_keys_are_text(self) -> None:
        found = faults_of(document(payloadSchema={"x": {1: 2, "\udc00": 1}}))
        assert found == {
            "payloadSchema.x": "key 1 is not a string; contains a lone surrogate, which is not a valid character"
        }

    def test_no_text_holds_nul(self) -> None:
        found = faults_of(document(description="a\x00", payloadSchema={"x\x00": 1}))
        assert found == dict.fromkeys(
            ["description", "payloadSchema"], "contains a NUL character, which cannot be stored"
        )

    def test_a_document_nests_64_levels_and_not_one_more(self) -> None:
        def nested(levels: int) -> Any:
            return {"x-deep": nested(levels - 1)} if levels else 1

        assert faults_of(document(payloadSchema=nested(62))) == {}
        found = faults_of(document(payloadSchema=nested(63)))
        assert list(found.values()) == ["is nested more than 64 levels deep"]

    def test_a_document_that_holds_itself_is_refused(self) -> None:
        circular: dict[str, Any] = {}
        circular["x"] = [circular, circular]
        assert "is nested more than 64 levels deep" in faults_of(document(payloadSchema=circular)).popitem()[1]

    @pytest.mark.slow
    def test_a_document_that_unfolds_to_millions_is_refused(self) -> None:
        wide: Any = [1] * 100
        for _ in range(5):
            wide = [wide] * 100
        assert faults_of(document(payloadSchema={"x": wide})) == {"document": "has more than 1,000,000 values"}
