"""Workflows written in Python are those of the documents that they stand for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.errors import InvalidWorkflow
from orchestrator.domain.selectors import reads, select
from orchestrator.domain.workflow import CachePolicy, ChangeType, RetryPolicy
from orchestrator.workflows import define, literal, load_document, step

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def test_a_definition_is_its_document() -> None:
    built = define(
        "greet.v1",
        "1.0.0",
        steps=[
            step("find", "people.find", input={"id": "trigger.personId", "polite": literal(True)}, timeout_ms=5000),
            step(
                "greet",
                "text.greet",
                depends_on=["find"],
                input="steps.find.data",
                cache=CachePolicy(scope="run_only", ttl_seconds=60),
                retry=RetryPolicy(3, backoff_ms=10, non_retryable=("X",)),
            ),
        ],
        change_types={"person.update": ["find"], "all": "*", "again": ChangeType(None, force=True)},
        payload_schema={"required": ["personId"]},
        description="Greets",
        max_parallel_steps=2,
    )
    assert built == load_document(
        {
            "workflowName": "greet.v1",
            "version": "1.0.0",
            "description": "Greets",
            "maxParallelSteps": 2,
            "payloadSchema": {"required": ["personId"]},
            "steps": [
                {
                    "stepId": "find",
                    "skillId": "people.find",
                    "input": {"id": "trigger.personId", "polite": "`true`"},
                    "timeoutMs": 5000,
                },
                {
                    "stepId": "greet",
                    "skillId": "text.greet",
                    "dependsOn": ["find"],
                    "input": "steps.find.data",
                    "cachePolicy": {"scope": "run_only", "ttlSeconds": 60},
                    "retryPolicy": {"maxAttempts": 3, "backoffMs": 10, "nonRetryable": ["X"]},
                },
            ],
            "changeTypes": {
                "person.update": {"seeds": ["find"]},
                "all": {"seeds": "*"},
                "again": {"seeds": "*", "force": True},
            },
        }
    )


def test_short_forms_of_the_policies() -> None:
    built = define("w", "1", [step("a", "s", cache=False, retry=4), step("b", "s")]).steps
    assert built["a"].cache == CachePolicy(enabled=False)
    assert built["a"].retry == RetryPolicy(4)
    assert (built["b"].cache, built["b"].retry) == (CachePolicy(), RetryPolicy())


def test_a_definition_is_checked_as_a_document_is() -> None:
    with pytest.raises(InvalidWorkflow) as caught:
        define(
            "Greet",
            "1",
            [step("a", "s", depends_on="plan"), step("b", "s", ["c"], input={"x": "steps.a.data"}, retry=6)],
            change_types={"t": ["z"], "u": "a"},
        )
    assert [fault.path for fault in caught.value.faults] == [
        "changeTypes.t.seeds[0]",
        "changeTypes.u.seeds",
        "steps[0].dependsOn",
        "steps[1].dependsOn[0]",
        "steps[1].input.x",
        "steps[1].retryPolicy.maxAttempts",
        "workflowName",
    ]
    assert str(caught.value).startswith("workflow Greet has 7 faults:")


def test_the_bound_on_attempts_can_be_raised() -> None:
    assert define("w", "1", [step("a", "s", retry=9)], max_attempts_bound=9).steps["a"].retry.max_attempts == 9


@given(json_values)
def test_a_literal_yields_its_value_and_reads_nothing(value: object) -> None:
    expression = literal(value)
    assert select(expression, {}) == value
    assert reads(expression) == frozenset()


def test_a_literal_may_hold_backticks_and_quotes() -> None:
    assert select(literal({"a`b": "`'\"\\`"}), {}) == {"a`b": "`'\"\\`"}


def test_what_is_not_json_is_no_literal() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        literal(float("nan"))
    with pytest.raises(TypeError):
        literal(object())
