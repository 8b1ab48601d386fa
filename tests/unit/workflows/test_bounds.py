"""Whatever a definition holds: few faults, short ones, and an answer that is small and comes soon."""

import json
import time
from typing import Any

import pytest

from orchestrator.domain.errors import MAX_FAULTS, MAX_TOLD, InvalidWorkflow
from orchestrator.workflows.document import MAX_BYTES, load_document, load_text
from orchestrator.workflows.shape import MAX_CHANGE_TYPES, MAX_CODES, MAX_STEPS
from orchestrator.workflows.validate import warnings
from tests.unit.workflows.documents import document, step

NAMES = [f"x{number}" for number in range(9_000)]
HEAD = 'workflowName: b.v1\nversion: "1"\n'
LONG = "x" * 20_000


def refused(text: str, *, is_yaml: bool = False) -> InvalidWorkflow:
    began = time.process_time()
    with pytest.raises(InvalidWorkflow) as caught:
        load_text(text, is_yaml=is_yaml)
    assert time.process_time() - began < 5
    return caught.value


def properties(schema: Any) -> dict[str, Any]:
    return {"properties": {f"p{number}": schema for number in range(500)}}


def with_fields(**fields: Any) -> dict[str, Any]:
    return {**document(step("a")), **fields}


FAULTY: dict[str, Any] = {
    "unknown fields": {**document(step("a")), **{f"k{number}": 1 for number in range(50_000)}},
    "fields of a step that it does not have": document({**step("a"), **dict.fromkeys(NAMES, 1)}),
    "steps that are none": with_fields(steps=[0] * 10_000),
    "steps without anything": with_fields(steps=[{}] * 10_000),
    "unknown dependencies": document(step("a", *NAMES)),
    "dependencies that are no text": document({**step("a"), "dependsOn": [[1]] * 9_000}),
    "the same dependency": document(step("b"), step("a", *["b"] * 9_000)),
    "one step id": document(*[step("a")] * 5_000),
    "codes that are no text": document({**step("a"), "retryPolicy": {"nonRetryable": [1] * 50_000}}),
    "change types with unknown seeds": with_fields(changeTypes={name: {"seeds": ["zz"]} for name in NAMES[:1_000]}),
    "one change type with unknown seeds": with_fields(changeTypes={"c": {"seeds": NAMES}}),
    "seeds that are no text": with_fields(changeTypes={"c": {"seeds": [[1]] * 9_000}}),
    "change types that are none": with_fields(changeTypes=dict.fromkeys(NAMES[:1_000], 1)),
    "selectors that do not parse": document(step("a", input=dict.fromkeys(NAMES, "a.["))),
    "selectors that are no text": document(step("a", input=dict.fromkeys(NAMES, 1))),
    "selectors that read nothing": document(step("a", input=dict.fromkeys(NAMES, "nothing.here"))),
    "integers that are too large": with_fields(payloadSchema={"examples": [10**17] * 40_000}),
    "types that there are not": with_fields(payloadSchema=properties({"type": "x"})),
    "references that lead nowhere": with_fields(payloadSchema=properties({"$ref": "#/x"})),
    "patterns that are refused": with_fields(payloadSchema=properties({"pattern": "(?=a)"})),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", FAULTY)
def test_faults_are_listed_up_to_a_bound_and_the_message_names_some(case: str) -> None:
    error = refused(json.dumps(FAULTY[case]))
    listed = error.details["faults"]
    assert 1 <= len(listed) <= MAX_FAULTS
    assert len(json.dumps(error.details)) + len(error.message) < 60_000
    assert error.message.count("\n") <= MAX_TOLD + 1
    if len(listed) == MAX_FAULTS:
        assert "more than 100 faults" in error.message


LENGTHY: dict[str, Any] = {
    "a workflow name": with_fields(workflowName=LONG),
    "a description": with_fields(description=LONG),
    "an unknown field": with_fields(**{LONG: 1}),
    "an unknown field like another": with_fields(**{"maxParallelSteps" * 4_000: 1}),
    "a step id": document(step(LONG)),
    "two step ids": document(step(LONG), step(LONG)),
    "a dependency": document(step("a", LONG)),
    "a dependency twice": document(step("a", LONG, LONG)),
    "a step that depends on itself": document(step(LONG, LONG)),
    "a cycle": document(step(f"a{LONG}", f"b{LONG}"), step(f"b{LONG}", f"a{LONG}")),
    "a cycle of many": document(*(step(f"s{n}", f"s{(n + 1) % 3_000}") for n in range(3_000))),
    "a name in a selector": document(step("a", input={"b": f"steps.{LONG}.data"})),
    "a root in a selector": document(step("a", input={"b": f"{LONG}.data"})),
    "a selector that does not parse": document(step("a", input={"b": f"{LONG}.["})),
    "the name of an input": document(step("a", input={LONG: "a.["})),
    "a seed": with_fields(changeTypes={"c": {"seeds": [LONG]}}),
    "a change type": with_fields(changeTypes={LONG: {"seeds": ["zz"]}}),
    "a dialect": with_fields(payloadSchema={"$schema": LONG}),
    "a reference": with_fields(payloadSchema={"$ref": LONG}),
    "a pattern": with_fields(payloadSchema={"pattern": f"(?={LONG}"}),
    "a type": with_fields(payloadSchema={"type": LONG}),
    "a property": with_fields(payloadSchema={"properties": {LONG: {"type": "x"}}}),
}


@pytest.mark.parametrize("case", LENGTHY)
def test_what_a_fault_quotes_is_cut(case: str) -> None:
    error = refused(json.dumps(LENGTHY[case]))
    assert len(error.message) < 4_000
    assert all(len(fault["path"]) < 1_000 and len(fault["message"]) < 2_000 for fault in error.details["faults"])


@pytest.mark.slow
def test_a_name_like_many_others_is_compared_with_few() -> None:
    steps = [step(f"{'s' * 60}{number}") for number in range(3_000)]
    error = refused(json.dumps(document(*steps, step("last", *[f"{'s' * 59}z{number}" for number in range(90)]))))
    assert len(error.details["faults"]) == 90


@pytest.mark.parametrize(
    ("fields", "path", "most"),
    [
        ({"steps": [step("a", *["b"] * (MAX_STEPS + 1))]}, "steps[0].dependsOn", MAX_STEPS),
        ({"steps": [step("a")] * (MAX_STEPS + 1)}, "steps", MAX_STEPS),
        (
            {"steps": [{**step("a"), "retryPolicy": {"nonRetryable": ["A"] * (MAX_CODES + 1)}}]},
            "steps[0].retryPolicy.nonRetryable",
            MAX_CODES,
        ),
        ({"changeTypes": {"c": {"seeds": ["a"] * (MAX_STEPS + 1)}}}, "changeTypes.c.seeds", MAX_STEPS),
        (
            {"changeTypes": {f"c{number}": {"seeds": "*"} for number in range(MAX_CHANGE_TYPES + 1)}},
            "changeTypes",
            MAX_CHANGE_TYPES,
        ),
    ],
)
def test_lists_have_bounds(fields: dict[str, Any], path: str, most: int) -> None:
    (fault,) = refused(json.dumps(with_fields(**fields))).faults
    assert (fault.path, fault.message) == (path, f"has {most + 1:,} entries, more than {most:,}")


class TestAliases:
    """A few kilobytes of YAML that stand for many."""

    def test_one_faulty_list_in_many_steps(self) -> None:
        steps = "".join(f" - {{stepId: s{number}, skillId: b, dependsOn: *a}}\n" for number in range(100))
        text = f"{HEAD}steps:\n - {{stepId: s, skillId: b, dependsOn: &a [{'[1], ' * 1000}]}}\n{steps}"
        error = refused(text, is_yaml=True)
        assert len(error.details["faults"]) == MAX_FAULTS
        assert len(error.message) < 4_000

    def test_one_long_text_many_times(self) -> None:
        text = (
            f"{HEAD}steps: [{{stepId: a, skillId: b}}]\n"
            f'payloadSchema: {{examples: [&t "{"x" * 100_000}"{",*t" * 15}]}}\n'
        )
        (fault,) = refused(text, is_yaml=True).faults
        assert fault.path == "payloadSchema"
        assert "the definition has 1,600," in fault.message
        assert f"at most {MAX_BYTES:,}" in fault.message

    def test_lists_in_a_field_of_another_type(self) -> None:
        lists = ", ".join(f"&a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 5))
        text = (
            f'workflowName: b.v1\nversion: "1"\nsteps: [{{stepId: a, skillId: b}}]\ndescription: [&a0 [1], {lists}]\n'
        )
        (fault,) = refused(text, is_yaml=True).faults
        assert fault.path == "description"
        assert len(fault.message) < 200


def test_a_definition_of_one_mebibyte_is_taken() -> None:
    schema = {"examples": ["x" * 1_000] * 1_000}
    workflow = load_text(json.dumps({**document(step("a")), "payloadSchema": schema}))
    assert workflow.payload_schema == schema


def test_warnings_are_listed_up_to_a_bound() -> None:
    workflow = load_document(document(*(step(f"s{number}") for number in range(500))))
    assert len(warnings(workflow, frozenset())) == MAX_FAULTS
