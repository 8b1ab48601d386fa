"""What `after`, `when` and `onFailure` must mean, and what is only doubtful about them."""

from typing import Any

import pytest

from orchestrator.workflows import load_document, warnings
from orchestrator.workflows.builder import define
from orchestrator.workflows.builder import step as built
from tests.unit.workflows.documents import document, faults_of, step


def doubts(*steps: dict[str, Any]) -> dict[str, str]:
    return {fault.path: fault.message for fault in warnings(load_document(document(*steps), "test"))}


class TestEdges:
    def test_a_step_may_wait_for_steps_that_it_does_not_need(self) -> None:
        workflow = load_document(document(step("a"), step("b"), step("c", "a", after=["b"])), "test")
        assert workflow.graph.dependencies["c"] == ("a", "b")
        assert (workflow.waiting["c"], workflow.roots) == (2, ("a", "b"))

    def test_an_edge_is_in_one_of_the_lists(self) -> None:
        assert faults_of(document(step("a"), step("b", "a", after=["a", "x", "b"]))) == {
            "steps[1].after[0]": "duplicate entry 'a', already listed as dependsOn[0]",
            "steps[1].after[1]": "unknown step 'x'",
            "steps[1].after[2]": "step 'b' waits for itself",
        }

    def test_a_cycle_may_lead_over_both_kinds_of_edges(self) -> None:
        assert faults_of(document(step("a", after=["b"]), step("b", "a"))) == {
            "steps[0].after[0]": "dependency cycle, where each step depends on the next: a -> b -> a"
        }


class TestConditions:
    def test_a_condition_reads_ancestors_over_both_kinds_of_edges(self) -> None:
        good = step("c", "a", after=["b"], when="steps.b.outcome == 'failed' && steps.a.data.x")
        assert faults_of(document(step("a"), step("b"), good)) == {}

    @pytest.mark.parametrize(
        ("when", "message"),
        [
            ("steps.later.data", "reads steps.later, but 'later' is not an ancestor of 'a'; add it to dependsOn"),
            ("steps.a.data", "step 'a' reads its own result"),
            ("trigger.x ==", "cannot parse 'trigger.x ==': "),
            ("payload.x", "unknown root 'payload', expected one of trigger, change, base, steps, run"),
            (True, 'must be a JMESPath expression (a string), not true; write it as "`true`"'),
            (3, "must be a JMESPath expression (a string), not 3"),
            ({}, "must be a JMESPath expression (a string), not {}"),
        ],
    )
    def test_a_condition_that_cannot_be_is_refused(self, when: Any, message: str) -> None:
        (found,) = faults_of(document(step("a", when=when), step("later"))).items()
        assert found[0] == "steps[0].when"
        assert found[1].startswith(message)

    @pytest.mark.parametrize("value", ["ignore", True, 1])
    def test_only_two_words_say_what_a_failure_does(self, value: Any) -> None:
        assert list(faults_of(document(step("a", onFailure=value)))) == ["steps[0].onFailure"]


class TestDoubts:
    def test_a_result_that_may_be_missing_is_pointed_out(self) -> None:
        found = doubts(
            step("a", when="trigger.x"),
            step("b", "a"),
            step("c", after=["b"], input={"b": "steps.b.data", "how": "steps.b.outcome"}),
            step("d", "b", input={"a": "steps.a.data"}),
        )
        assert found == {"steps[2].input.b": "is null if 'b' is omitted or fails; its outcome says so"}

    def test_a_step_has_an_outcome_where_the_workflow_can_use_it(self) -> None:
        reader = step("b", "a", input={"how": "steps.a.outcome"})
        assert doubts(step("a", onFailure="continue"), reader) == {}
        assert list(doubts(step("a"), reader)) == ["steps[1].input.how"]


def test_the_builder_knows_the_words() -> None:
    made = define("w", "1", [built("a", "k", on_failure="continue"), built("b", "k", after=["a"], when="trigger.x")])
    assert (made.steps["a"].on_failure, made.steps["b"].after, made.steps["b"].when) == (
        "continue",
        ("a",),
        "trigger.x",
    )
