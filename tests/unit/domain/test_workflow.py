"""Workflows as plain data: their document, their digest, and the pauses of their retries."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.errors import NeedsNewerProgram
from orchestrator.domain.resources import Resources
from orchestrator.domain.workflow import (
    CachePolicy,
    ChangeType,
    RetryPolicy,
    Step,
    Workflow,
    workflow_from_json,
    workflow_to_json,
)

ids = st.sampled_from(["a", "b.c", "d-e", "f_g"])
selectors = st.sampled_from(["trigger.a", "`1`", "run.id"])
retries = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 5),
    backoff_ms=st.integers(0, 10_000),
    max_backoff_ms=st.integers(0, 100_000),
    multiplier=st.floats(1, 10),
    jitter=st.floats(0, 1),
    non_retryable=st.lists(st.text(max_size=5)).map(tuple),
)
steps = st.builds(
    Step,
    id=ids,
    skill=st.text(min_size=1, max_size=8),
    depends_on=st.just(()),
    input=st.none() | selectors | st.dictionaries(st.text(max_size=5), selectors, max_size=3),
    cache=st.builds(
        CachePolicy, st.booleans(), st.sampled_from(["global", "run_only"]), st.none() | st.integers(1, 10**6)
    ),
    retry=retries,
    timeout_ms=st.none() | st.integers(1, 10**6),
    executor=st.sampled_from(["local", "far"]),
    requires=st.lists(ids, max_size=2).map(tuple),
    resources=st.builds(
        Resources, st.none() | st.floats(0.1, 64), st.none() | st.integers(1, 2**40), st.none() | st.floats(0.1, 8)
    ),
)
workflows = st.builds(
    Workflow,
    name=ids,
    version=st.text(min_size=1, max_size=8),
    steps=st.lists(steps, unique_by=lambda step: step.id).map(lambda found: {step.id: step for step in found}),
    change_types=st.dictionaries(
        st.text(max_size=5),
        st.builds(ChangeType, st.none() | st.lists(ids, max_size=2).map(tuple), st.booleans()),
        max_size=2,
    ),
    description=st.text(max_size=5),
    payload_schema=st.none() | st.just({"type": "object", "required": ["a"]}),
    max_parallel_steps=st.none() | st.integers(1, 100),
)


def reordered(value: Any, data: st.DataObject) -> Any:
    if isinstance(value, dict):
        return {key: reordered(value[key], data) for key in data.draw(st.permutations(list(value)))}
    if isinstance(value, list):
        return [reordered(item, data) for item in value]
    return value


@given(workflows)
def test_a_workflow_comes_back_from_its_document_as_it_was(workflow: Workflow) -> None:
    document = json.loads(json.dumps(workflow_to_json(workflow)))
    again = workflow_from_json(document)
    assert again == workflow
    assert list(again.steps) == list(workflow.steps)
    assert workflow_to_json(again) == document
    assert again.digest == workflow.digest


@given(workflows, st.data())
def test_the_digest_is_the_same_for_any_order_of_keys(workflow: Workflow, data: st.DataObject) -> None:
    document = workflow_to_json(workflow)
    assert workflow_from_json(reordered(document, data)).digest == workflow.digest


def test_the_digest_tells_contents_apart_and_defaults_do_not() -> None:
    step = {"stepId": "a", "skillId": "s"}
    plain = workflow_from_json({"workflowName": "w", "version": "1", "steps": [step]})
    spelled = workflow_from_json(
        {
            "workflowName": "w",
            "version": "1",
            "description": "",
            "changeTypes": None,
            "steps": [{**step, "dependsOn": None, "retryPolicy": {"maxAttempts": 1}, "cachePolicy": None}],
        }
    )
    other = workflow_from_json({"workflowName": "w", "version": "1", "steps": [{**step, "input": "trigger"}]})
    assert plain.digest == spelled.digest
    assert plain.digest != other.digest


def test_roots_and_waiting_follow_from_the_edges() -> None:
    workflow = Workflow("w", "1", {"b": Step("b", "s", ("a",)), "a": Step("a", "s"), "c": Step("c", "s", ("a", "b"))})
    assert workflow.roots == ("a",)
    assert workflow.waiting == {"a": 0, "b": 1, "c": 2}
    assert workflow.graph.order == ("a", "b", "c")


class TestPauses:
    def test_they_grow_by_the_multiplier_up_to_the_maximum(self) -> None:
        retry = RetryPolicy(5, backoff_ms=1000, max_backoff_ms=5000, multiplier=2, jitter=0)
        assert [retry.pause_ms(attempt, 1.0) for attempt in range(1, 6)] == [1000, 2000, 4000, 5000, 5000]

    def test_jitter_moves_them_by_its_fraction(self) -> None:
        retry = RetryPolicy(backoff_ms=1000, jitter=0.1)
        assert [retry.pause_ms(1, draw) for draw in (-1, 0, 1)] == [900, 1000, 1100]

    @pytest.mark.parametrize("attempt", [1, 50, 5000, 10**6])
    def test_any_attempt_has_one(self, attempt: int) -> None:
        assert (
            RetryPolicy(backoff_ms=1, max_backoff_ms=60_000, multiplier=10.0, jitter=0).pause_ms(attempt, 0) <= 60_000
        )

    @given(retries, st.integers(1, 10), st.floats(-1, 1))
    def test_they_stay_between_nothing_and_the_maximum_with_its_jitter(
        self, retry: RetryPolicy, attempt: int, draw: float
    ) -> None:
        assert 0 <= retry.pause_ms(attempt, draw) <= round(retry.max_backoff_ms * (1 + retry.jitter)) + 1


@pytest.mark.parametrize("place", [(), ("steps", 0), ("steps", 0, "cachePolicy"), ("steps", 0, "retryPolicy")])
def test_a_word_that_a_newer_program_registered_is_not_passed_over(place: tuple[str | int, ...]) -> None:
    document: Any = {
        "workflowName": "w",
        "version": "2",
        "steps": [{"stepId": "a", "skillId": "s", "cachePolicy": {}, "retryPolicy": {}}],
    }
    part = document
    for name in place:
        part = part[name]
    part["colour"] = "red"
    with pytest.raises(NeedsNewerProgram, match=r"workflow w 2 has fields .* does not know \(colour\)") as told:
        workflow_from_json(document)
    assert told.value.details["steps"] == 1
