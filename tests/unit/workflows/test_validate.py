"""What a document must mean: the graph, the selectors, the policies, the change types; and what is only doubtful."""

from typing import Any

import pytest

from orchestrator.workflows import load_document, warnings
from tests.unit.workflows.documents import document, faults_of, step


def messages(found: Any, **options: Any) -> list[str]:
    return [f"{path}: {message}" for path, message in faults_of(found, **options).items()]


class TestGraph:
    def test_a_cycle_is_named_in_order(self) -> None:
        assert messages(document(step("a", "b"), step("b", "c"), step("c", "a"), step("d", "a"))) == [
            "steps[0].dependsOn[0]: dependency cycle, where each step depends on the next: a -> b -> c -> a"
        ]

    def test_every_knot_of_cycles_is_named(self) -> None:
        found = faults_of(document(step("a", "b"), step("b", "a"), step("c"), step("d", "c", "e"), step("e", "d")))
        assert found == {
            "steps[0].dependsOn[0]": "dependency cycle, where each step depends on the next: a -> b -> a",
            "steps[3].dependsOn[1]": "dependency cycle, where each step depends on the next: d -> e -> d",
        }

    def test_a_step_depending_on_itself(self) -> None:
        assert messages(document(step("a", "a"))) == ["steps[0].dependsOn[0]: step 'a' depends on itself"]

    def test_an_unknown_dependency_comes_with_a_suggestion(self) -> None:
        assert faults_of(document(step("campaign_plan"), step("b", "campaign_plam", "zzz"))) == {
            "steps[1].dependsOn[0]": "unknown step 'campaign_plam'; did you mean 'campaign_plan'?",
            "steps[1].dependsOn[1]": "unknown step 'zzz'",
        }

    def test_a_dependency_listed_twice(self) -> None:
        assert messages(document(step("a"), step("b", "a", "a"))) == [
            "steps[1].dependsOn[1]: duplicate entry 'a', already listed as dependsOn[0]"
        ]

    def test_an_id_used_twice(self) -> None:
        assert messages(document(step("a"), step("b"), step("a", "b"))) == [
            "steps[2].stepId: duplicate step id 'a', already used by steps[0]"
        ]


class TestSelectors:
    def test_a_step_reads_its_ancestors_near_and_far(self) -> None:
        steps = [
            step("a"),
            step("b", "a"),
            step("c", "b", input={"x": "steps.a.data", "y": "steps.b.artifacts[0].uri"}),
        ]
        assert faults_of(document(*steps)) == {}

    @pytest.mark.parametrize(
        ("expression", "message"),
        [
            ("steps.d.data", "reads steps.d, but 'd' is not an ancestor of 'c'; add it to dependsOn"),
            ("steps.later.data", "reads steps.later, but 'later' is not an ancestor of 'c'; add it to dependsOn"),
            ("steps.bb.data", "reads steps.bb, but there is no step 'bb'; did you mean 'b'?"),
            ("steps.c.data", "step 'c' reads its own result"),
            ("steps", "reads all steps, but 'd' is not an ancestor of 'c'; name the steps you need"),
            ("steps.*.data", "reads all steps, but 'd' is not an ancestor of 'c'; name the steps you need"),
            ("trigger.x || steps.d.data", "reads steps.d, but 'd' is not an ancestor of 'c'; add it to dependsOn"),
            ("@", "reads the whole context, including the run's id and every step; select the fields you need"),
            ("keys(@)", "reads the whole context, including the run's id and every step; select the fields you need"),
            ("base", "reads all of base; read a single step (base.steps.ID) or base.runId"),
            ("base.steps.*.data", "reads all of base.steps; read a single step (base.steps.ID) or base.runId"),
            (
                "triger.x",
                "unknown root 'triger', expected one of trigger, change, base, steps, run; did you mean 'trigger'?",
            ),
            ("brief.x", "unknown root 'brief', expected one of trigger, change, base, steps, run"),
            ("trigger.[", "cannot parse 'trigger.[': Invalid jmespath expression: Incomplete expression"),
            (
                "lenght(trigger)",
                "cannot parse 'lenght(trigger)': unknown function lenght(); did you mean length()?",
            ),
            ("", "cannot parse '': Invalid JMESPath expression: cannot be empty."),
        ],
    )
    @pytest.mark.parametrize("whole", [True, False])
    def test_what_cannot_be_served_is_a_fault(self, expression: str, message: str, *, whole: bool) -> None:
        steps = [
            step("a"),
            step("b", "a"),
            step("c", "b", input=expression if whole else {"x": expression, "ok": "trigger"}),
            step("d"),
            step("later", "c"),
        ]
        assert faults_of(document(*steps)) == {f"steps[2].input{'' if whole else '.x'}": message}

    def test_a_step_after_all_others_may_read_them_all(self) -> None:
        steps = [step("a"), step("b", "a"), step("c"), step("z", "b", "c", input={"all": "steps.*.artifacts[]"})]
        assert faults_of(document(*steps)) == {}

    @pytest.mark.parametrize("expression", ["base.runId", "base.steps.a.data", "change.x", "run.workflowName", "`[1]`"])
    def test_the_rest_of_the_context_can_be_read(self, expression: str) -> None:
        assert faults_of(document(step("a", input=expression))) == {}

    def test_quoted_ids_are_read(self) -> None:
        assert faults_of(document(step("a-b.c"), step("d", "a-b.c", input='steps."a-b.c".data'))) == {}

    def test_ancestors_are_known_inside_and_behind_a_cycle(self) -> None:
        found = faults_of(
            document(
                step("a", "b", input="steps.b.data"),
                step("b", "a"),
                step("c", "b", input="steps.a.data"),
                step("d", "c", input={"far": "steps.a.data", "aside": "steps.e.data"}),
                step("e"),
            )
        )
        assert found == {
            "steps[0].dependsOn[0]": "dependency cycle, where each step depends on the next: a -> b -> a",
            "steps[3].input.aside": "reads steps.e, but 'e' is not an ancestor of 'd'; add it to dependsOn",
        }

    @pytest.mark.parametrize("selectors", [3, [], True])
    def test_an_input_is_an_object_or_an_expression(self, selectors: Any) -> None:
        assert messages(document(step("a", input=selectors))) == [
            "steps[0].input: must be a JMESPath expression (a string) or an object of such expressions"
        ]

    def test_a_literal_is_written_as_an_expression(self) -> None:
        assert messages(document(step("a", input={"loop": True, "a b": None}))) == [
            'steps[0].input.loop: must be a JMESPath expression, not True; write a literal as "`...`"',
            'steps[0].input["a b"]: must be a JMESPath expression, not None; write a literal as "`...`"',
        ]

    def test_a_step_without_an_id_is_still_looked_at(self) -> None:
        nameless = {"skillId": "s", "dependsOn": ["x"], "input": {"a": "nothing"}}
        assert list(faults_of(document(step("a"), nameless))) == [
            "steps[1].dependsOn[0]",
            "steps[1].input.a",
            "steps[1].stepId",
        ]


class TestPolicies:
    def test_the_bound_on_attempts_is_five_unless_told_otherwise(self) -> None:
        found = document(step("a", retryPolicy={"maxAttempts": 6}))
        assert messages(found) == ["steps[0].retryPolicy.maxAttempts: must be at most 5, not 6"]
        assert faults_of(found, max_attempts_bound=6) == {}
        assert faults_of(document(step("a", retryPolicy={"maxAttempts": 5}))) == {}


class TestChangeTypes:
    @pytest.mark.parametrize(
        ("seeds", "path", "message"),
        [
            (["b"], "seeds[0]", "unknown step 'b'"),
            (["a", "a"], "seeds[1]", "duplicate entry 'a', already listed as seeds[0]"),
            ([1], "seeds[0]", "must be a step id, not 1"),
            ([], "seeds", 'must be a list of step ids, or "*" for all steps, not []'),
            ("a", "seeds", "must be a list of step ids, or \"*\" for all steps, not 'a'"),
            (None, "seeds", 'must be a list of step ids, or "*" for all steps, not None'),
        ],
    )
    def test_seeds_are_steps(self, seeds: Any, path: str, message: str) -> None:
        assert faults_of(document(changeTypes={"t": {"seeds": seeds}})) == {f"changeTypes.t.{path}": message}

    def test_all_steps_are_seeds(self) -> None:
        assert load_document(document(changeTypes={"t": {"seeds": "*"}})).change_types["t"].seeds is None

    def test_the_built_in_type_cannot_be_declared(self) -> None:
        assert faults_of(document(changeTypes={"payload.patch": {"seeds": "*"}})) == {
            'changeTypes["payload.patch"]': "is a built-in change type of every workflow and cannot be declared"
        }


class TestWarnings:
    @pytest.mark.parametrize(
        ("expression", "message"),
        [
            ("run.id", "reads run.id, so no other run can reuse the result from the cache"),
            ("run", "reads run, so no other run can reuse the result from the cache"),
            ("{a: run.id}.a", "reads run.id, so no other run can reuse the result from the cache"),
            (
                "run.name",
                (
                    "run has no field 'name', so this is always null; "
                    "its fields are id, workflowName, workflowVersion, tenantId"
                ),
            ),
            (
                "steps.a.mood",
                "a step has only data and artifacts, so 'mood' is always null; did you mean steps.a.data.mood?",
            ),
        ],
    )
    def test_a_doubtful_selector(self, expression: str, message: str) -> None:
        workflow = load_document(document(step("a"), step("b", "a", input={"x": expression, "y": "run.tenantId"})))
        assert [(fault.path, fault.message) for fault in warnings(workflow)] == [("steps[1].input.x", message)]

    @pytest.mark.parametrize("policy", [{"enabled": False}, {"scope": "run_only"}])
    def test_the_run_id_may_be_read_where_nothing_is_shared(self, policy: dict[str, Any]) -> None:
        assert warnings(load_document(document(step("a", input="run.id", cachePolicy=policy)))) == []

    def test_skills_that_are_not_known(self) -> None:
        workflow = load_document(document(step("a"), {**step("b"), "skillId": "audio.mixx"}))
        assert warnings(workflow) == []
        found = warnings(workflow, {"a.skill", "audio.mix"})
        assert [str(fault) for fault in found] == [
            "steps[1].skillId: unknown skill 'audio.mixx'; did you mean 'audio.mix'?"
        ]

    def test_a_pause_above_its_maximum(self) -> None:
        retry = {"maxAttempts": 2, "backoffMs": 120_000}
        found = warnings(load_document(document(step("a", retryPolicy=retry))))
        assert [str(fault) for fault in found] == [
            "steps[0].retryPolicy.backoffMs: exceeds maxBackoffMs, so every retry waits 60000 ms"
        ]
