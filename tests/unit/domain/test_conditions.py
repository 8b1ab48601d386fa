"""Steps on a condition, steps that only wait, and failures that a run tolerates."""

from typing import Any

import pytest

from orchestrator.domain.change import ChangeRequest
from orchestrator.domain.commands import CompleteRun, FailRun, OmitStep
from orchestrator.domain.errors import CommandRefused, StaleAttempt, UnknownStep
from orchestrator.domain.events import Reuse, RunCompleted, RunRecovered, StepFailed, StepOmitted, StepRetried
from orchestrator.domain.ledger import Ledger
from orchestrator.domain.next_steps import BeginStep, next_steps
from orchestrator.domain.plan import BaseRun, plan_change, plan_retry
from orchestrator.domain.run import Run
from orchestrator.domain.workflow import RetryPolicy, Step, Workflow, format_of, workflow_from_json, workflow_to_json
from tests.unit.domain.scenario import (
    AT,
    BASE,
    BROKEN,
    HOPELESS,
    WORKER,
    done,
    fail,
    given,
    reuse,
    running,
    start,
    started,
    triggered,
)

TWICE = RetryPolicy(max_attempts=2, backoff_ms=1000, jitter=0.0)


def step(name: str, *needs: str, **options: Any) -> Step:
    return Step(name, "test.skill", needs, **options)


def of(*steps: Step) -> Workflow:
    return Workflow("test", "1", {one.id: one for one in steps})


BANNERS = of(
    step("plan"),
    step("banner", "plan", when="trigger.banners"),
    step("translate", "banner"),
    step("fallback", after=("banner",), when="steps.banner.outcome == 'failed'"),
    step("bundle", "plan", after=("translate",)),
)
FRAGILE = of(
    step("render", on_failure="continue", retry=TWICE), step("publish", "render"), step("report", after=("render",))
)


def following(run: Run) -> list[Any]:
    return next_steps(run, AT, 100)


def ended(run: Run) -> dict[str, str]:
    return {name: state.status for name, state in run.states()}


class TestConditions:
    def test_an_omitted_step_takes_along_what_needs_it_and_only_that(self) -> None:
        story = running(*done("plan"), of=BANNERS).when(OmitStep(AT, "banner")).then(StepOmitted(AT, "banner"))
        assert following(story.run) == [OmitStep(AT, "translate", "banner"), BeginStep("fallback", 1)]
        story = story.when(OmitStep(AT, "translate", "banner")).then(StepOmitted(AT, "translate", "banner"))
        assert BeginStep("bundle", 1) in following(story.run), "it only waits for `translate`"

    def test_a_run_completes_and_counts_what_it_omitted(self) -> None:
        omitted = [StepOmitted(AT, "banner"), StepOmitted(AT, "translate", "banner"), StepOmitted(AT, "fallback")]
        story = running(*done("plan"), *omitted, *done("bundle"), of=BANNERS)
        assert following(story.run) == [CompleteRun(AT)]
        after = story.when(CompleteRun(AT)).then(RunCompleted(AT, completed=2, skipped=0, omitted=3))
        assert after.run.summary()["omitted"] == 3

    def test_why_a_step_was_omitted_is_kept(self) -> None:
        run = running(*done("plan"), StepOmitted(AT, "banner"), StepOmitted(AT, "translate", "banner"), of=BANNERS).run
        assert (run.step("banner").because, run.step("translate").because) == (None, "banner")

    def test_a_step_that_has_begun_or_ended_is_not_omitted(self) -> None:
        executing = running(started("plan"), of=BANNERS)
        executing.when(OmitStep(AT, "plan")).then_refused(StaleAttempt, "running, not ready")
        over = running(*done("plan"), StepOmitted(AT, "banner"), of=BANNERS)
        over.when(OmitStep(AT, "banner")).then_refused(StaleAttempt, "omitted, not ready")
        reused = given(triggered(impacted=("bundle",), reused=(Reuse(BASE, None),)), of=BANNERS)
        reused.when(OmitStep(AT, "plan")).then_refused(UnknownStep, "not part of run")

    def test_only_a_reason_omits_a_step(self) -> None:
        running(of=BANNERS).when(OmitStep(AT, "plan")).then_refused(CommandRefused, "has no condition")
        lacking = running(*done("plan"), StepOmitted(AT, "banner"), of=BANNERS)
        lacking.when(OmitStep(AT, "translate")).then_refused(CommandRefused, "lacks the result of 'banner'")
        lacking.when(OmitStep(AT, "fallback", "banner")).then_refused(CommandRefused, "lacks the result of None")

    def test_a_step_without_its_input_does_not_begin(self) -> None:
        lacking = running(*done("plan"), StepOmitted(AT, "banner"), of=BANNERS)
        lacking.when(start("translate")).then_refused(CommandRefused, "needs the result of 'banner', which has none")
        lacking.when(reuse("translate")).then_refused(CommandRefused, "needs the result of 'banner', which has none")

    def test_it_survives_the_worker_that_decided_it(self) -> None:
        run = running(*done("plan"), StepOmitted(AT, "banner"), RunRecovered(AT, "w2", WORKER), of=BANNERS).run
        assert following(run) == [OmitStep(AT, "translate", "banner"), BeginStep("fallback", 1)]


class TestTolerance:
    def test_the_last_failure_of_such_a_step_lets_the_run_go_on(self) -> None:
        story = running(started("render"), of=FRAGILE).when(fail("render", error=HOPELESS))
        story = story.then(StepFailed(AT, "render", 1, HOPELESS, 5.0, tolerated=True))
        assert story.run.failed_step is None
        assert following(story.run) == [OmitStep(AT, "publish", "render"), BeginStep("report", 1)]

    def test_what_was_executing_beside_it_goes_on(self) -> None:
        pair = of(step("a", on_failure="continue"), step("b"))
        run = running(started("a"), started("b"), StepFailed(AT, "a", 1, HOPELESS, 5.0, True), of=pair).run
        assert (following(run), run.executing) == ([], {"b": 1})

    def test_attempts_that_are_left_come_first(self) -> None:
        story = running(started("render"), of=FRAGILE).when(fail("render"))
        story = story.then(StepFailed(AT, "render", 1, BROKEN, 5.0), StepRetried(AT, "render", 2, AT + 1000))
        assert following(story.run) == []
        again = story.and_(started("render", 2)).when(fail("render", 2))
        again.then(StepFailed(AT, "render", 2, BROKEN, 5.0, tolerated=True))

    def test_the_run_completes_and_counts_the_failure(self) -> None:
        failure = StepFailed(AT, "render", 1, HOPELESS, 5.0, True)
        story = running(started("render"), failure, StepOmitted(AT, "publish", "render"), *done("report"), of=FRAGILE)
        story.when(CompleteRun(AT)).then(RunCompleted(AT, completed=1, skipped=0, omitted=1, failed=1))

    def test_without_it_a_failure_ends_the_run(self) -> None:
        story = running(started("report"), of=of(step("report")))
        after = story.when(fail("report", error=HOPELESS)).then(StepFailed(AT, "report", 1, HOPELESS, 5.0))
        assert following(after.run) == [FailRun(AT)]


class TestPlans:
    BASE_RUN = BaseRun(BASE, {"banners": False, "brief": 1}, omitted=("banner", "translate", "fallback"))

    def change(self, **payload: Any) -> ChangeRequest:
        return ChangeRequest("payload.patch", payload)

    def test_what_the_payload_omits_is_known_beforehand(self) -> None:
        base = BaseRun(BASE, {"banners": True})
        steps = {one.step: one for one in plan_change(BANNERS, base, self.change(banners=False)).steps()}
        assert {name: one.action for name, one in steps.items()} == {
            "plan": "reuse",
            "banner": "omit",
            "translate": "omit",
            "fallback": "may_run",
            "bundle": "may_run",
        }
        assert steps["banner"].reason == "its condition is false: trigger.banners"
        assert steps["translate"].reason == "depends on banner, which is omitted"

    def test_a_condition_that_reads_the_change_is_decided_again(self) -> None:
        plan = plan_change(BANNERS, self.BASE_RUN, self.change(banners=True))
        assert plan.seeds == {"banner": "reads trigger.banners, which the change alters"}
        assert set(plan.impacted) == {"banner", "translate", "fallback", "bundle"}
        assert plan.omitted == ()

    def test_what_the_change_does_not_reach_stays_omitted(self) -> None:
        plan = plan_change(BANNERS, self.BASE_RUN, ChangeRequest("payload.patch", {}, force=("bundle",)))
        assert plan.omitted == ("banner", "translate", "fallback")
        run = given(triggered(impacted=plan.impacted, reused=plan.reused, omitted=plan.omitted), of=BANNERS).run
        assert ended(run) == {
            "plan": "skipped",
            "banner": "omitted",
            "translate": "omitted",
            "fallback": "omitted",
            "bundle": "pending",
        }
        assert run.summary()["skipped"] == 1

    def test_a_step_that_needs_what_stays_omitted_is_omitted(self) -> None:
        plan = plan_change(BANNERS, self.BASE_RUN, ChangeRequest("payload.patch", {}, force=("translate",)))
        assert [one.action for one in plan.steps() if one.step == "translate"] == ["omit"]
        run = running(of=BANNERS).run
        event = triggered(impacted=plan.impacted, reused=plan.reused, omitted=plan.omitted)
        run = given(event, of=BANNERS).run
        assert run.lacking == {"translate": "banner"}

    def test_a_tolerated_failure_is_tried_again_by_the_next_update(self) -> None:
        base = BaseRun(BASE, {}, omitted=("publish",), failed=("render",))
        plan = plan_change(FRAGILE, base, self.change())
        assert plan.seeds == {"render": "failed in the base run"}
        assert plan.impacted == ("render", "publish", "report")

    def test_a_retry_runs_what_failed_and_what_it_took_along(self) -> None:
        base = BaseRun(BASE, {}, omitted=("publish",), failed=("render",))
        assert plan_retry(FRAGILE, base, {"report", "publish"}).impacted == ("render", "publish", "report")

    def test_plans_of_other_workflows_keep_their_hash(self) -> None:
        plain = of(step("a"), step("b", "a"))
        plan = plan_change(plain, BaseRun(BASE, {}), ChangeRequest("payload.patch", {}, force=("b",)))
        assert plan.hash == "b184a11115d2875be17378361c2d181289093763639d53fd173d37f0d74fd5b3"


@pytest.mark.parametrize(
    ("events", "why"),
    [
        ([StepOmitted(AT, "banner")], "depends on plan, not done yet"),
        ([*done("plan"), StepOmitted(AT, "banner"), started("translate")], "depends on banner, which has no result"),
        ([*done("plan"), StepOmitted(AT, "banner"), started("bundle")], "waits for translate, not done yet"),
        ([*done("plan"), StepOmitted(AT, "banner", "plan")], "does not lack the result of plan"),
        ([StepOmitted(AT, "plan")], "has no condition"),
        ([*done("plan"), StepOmitted(AT, "banner"), StepOmitted(AT, "banner")], "already done"),
        ([started("plan"), StepFailed(AT, "plan", 1, HOPELESS, 5.0, tolerated=True)], "does not tolerate this failure"),
        (
            [*done("plan"), StepOmitted(AT, "banner"), RunCompleted(AT, 1, 0, 1)],
            "not done: bundle, fallback, translate",
        ),
    ],
)
def test_an_audit_finds_what_cannot_have_happened(events: list[Any], why: str) -> None:
    ledger = Ledger(BANNERS, triggered())
    assert [fault for event in events for fault in ledger.enter(event) if why in fault]


@pytest.mark.parametrize("word", ["after", "when", "onFailure"])
def test_the_words_are_of_format_2_and_are_left_out_while_they_are_not_used(word: str) -> None:
    document = workflow_to_json(BANNERS)
    plain = document["steps"][0]
    assert word not in plain
    values = {"after": ["plan"], "when": "trigger.x", "onFailure": "continue"}
    only = {**document, "steps": [plain, {**plain, "stepId": "b", word: values[word]}]}
    assert (format_of({**document, "steps": [plain]}), format_of(only)) == (1, 2)
    assert workflow_to_json(workflow_from_json(only))["steps"][1][word] == values[word]
