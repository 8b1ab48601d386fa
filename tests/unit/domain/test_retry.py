"""When a failed attempt is followed by another: the retry policy as decide applies it."""

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from orchestrator.domain.events import RunEvent, RunRecovered
from orchestrator.domain.output import StepError
from orchestrator.domain.workflow import RetryPolicy
from tests.unit.domain.scenario import (
    AT,
    BROKEN,
    HOPELESS,
    WORKER,
    Given,
    fail,
    failed,
    retried,
    running,
    started,
    workflow,
)

THREE = RetryPolicy(max_attempts=3, backoff_ms=1000, multiplier=2.0, max_backoff_ms=60_000, jitter=0.0)
LOST = RunRecovered(AT, WORKER, WORKER)


def retrying(policy: RetryPolicy, *history: RunEvent) -> Given:
    return running(*history, of=workflow(retry=policy))


def test_a_failed_attempt_is_followed_by_another_after_a_pause() -> None:
    retrying(THREE, started("plan")).when(fail("plan")).then(failed("plan"), retried("plan", 2, AT + 1000))


def test_the_pause_grows_with_each_attempt_and_the_last_one_is_final() -> None:
    run = retrying(THREE, started("plan"))
    run = run.when(fail("plan")).then(failed("plan"), retried("plan", 2, AT + 1000))
    run = run.and_(started("plan", 2)).when(fail("plan", 2)).then(failed("plan", 2), retried("plan", 3, AT + 2000))
    run = run.and_(started("plan", 3)).when(fail("plan", 3)).then(failed("plan", 3))
    assert run.run.failed_step == "plan"


def test_one_attempt_is_one_attempt() -> None:
    retrying(RetryPolicy(max_attempts=1), started("plan")).when(fail("plan")).then(failed("plan"))


def test_the_pause_is_capped() -> None:
    policy = RetryPolicy(max_attempts=9, backoff_ms=1000, multiplier=10.0, max_backoff_ms=5000, jitter=0.0)
    run = retrying(policy, started("plan")).when(fail("plan")).then(failed("plan"), retried("plan", 2, AT + 1000))
    run.and_(started("plan", 2)).when(fail("plan", 2)).then(failed("plan", 2), retried("plan", 3, AT + 5000))


@pytest.mark.parametrize(("draw", "pause"), [(1.0, 1250), (-1.0, 750), (0.5, 1125), (0.0, 1000)])
def test_jitter_spreads_the_pause_by_its_fraction(draw: float, pause: int) -> None:
    policy = RetryPolicy(max_attempts=2, backoff_ms=1000, jitter=0.25)
    run = retrying(policy, started("plan"))
    run.when(fail("plan", jitter=draw)).then(failed("plan"), retried("plan", 2, AT + pause))


def test_an_error_that_says_so_is_not_retried() -> None:
    retrying(THREE, started("plan")).when(fail("plan", error=HOPELESS)).then(failed("plan", error=HOPELESS))


def test_a_code_the_policy_excludes_is_not_retried() -> None:
    policy = RetryPolicy(max_attempts=3, non_retryable=("BROKEN",), jitter=0.0)
    other = StepError("OTHER", "something else")
    retrying(policy, started("plan")).when(fail("plan")).then(failed("plan"))
    retrying(policy, started("plan")).when(fail("plan", error=other)).then(
        failed("plan", error=other), retried("plan", 2, AT + 1000)
    )


@pytest.mark.parametrize(("asked", "pause"), [(5000, 5000), (10, 1000), (90_000, 90_000)])
def test_the_service_may_ask_for_a_longer_pause_but_not_for_a_shorter_one(asked: int, pause: int) -> None:
    busy = StepError("BUSY", "come back later", retry_after_ms=asked)
    retrying(THREE, started("plan")).when(fail("plan", error=busy)).then(
        failed("plan", error=busy), retried("plan", 2, AT + pause)
    )


def test_attempts_lost_with_their_worker_do_not_use_the_policy_up() -> None:
    twice = RetryPolicy(max_attempts=2, backoff_ms=1000, jitter=0.0)
    run = retrying(twice, started("plan"), LOST, started("plan", 2), LOST, started("plan", 3))
    run = run.when(fail("plan", 3)).then(failed("plan", 3), retried("plan", 4, AT + 1000))
    run = run.and_(started("plan", 4), LOST, started("plan", 5))
    run.when(fail("plan", 5)).then(failed("plan", 5))


def test_a_step_whose_input_fails_to_resolve_uses_the_policy_like_any_attempt() -> None:
    run = retrying(RetryPolicy(max_attempts=2, backoff_ms=1000, jitter=0.0))
    run = run.when(fail("plan")).then(failed("plan"), retried("plan", 2, AT + 1000))
    run.when(fail("plan", 2)).then(failed("plan", 2))


def test_the_timer_counts_from_the_failure() -> None:
    run = retrying(THREE, started("plan")).when(fail("plan")).then(failed("plan"), retried("plan", 2, AT + 1000))
    assert run.run.due == {"plan": AT + 1000}
    assert run.run.step("plan").due_at == AT + 1000


@for_all(
    attempt=st.integers(1, 10_000),
    policy=st.builds(
        RetryPolicy,
        max_attempts=st.just(2),
        backoff_ms=st.integers(0, 10**9),
        max_backoff_ms=st.integers(0, 10**9),
        multiplier=st.floats(1.0, 1000.0),
        jitter=st.floats(0.0, 1.0),
    ),
    draw=st.floats(-1.0, 1.0),
)
def test_a_pause_is_never_negative_and_never_beyond_the_cap_and_its_jitter(
    attempt: int, policy: RetryPolicy, draw: float
) -> None:
    assert 0 <= policy.pause_ms(attempt, draw) <= round(policy.max_backoff_ms * (1 + policy.jitter))


@for_all(st.integers(1, 60))
def test_without_jitter_pauses_never_shrink(attempt: int) -> None:
    policy = RetryPolicy(2, 100, 60_000, 1.5, 0.0)
    assert policy.pause_ms(attempt, 0.0) <= policy.pause_ms(attempt + 1, 0.0)


def test_every_failed_attempt_is_remembered_with_its_error() -> None:
    run = retrying(THREE, started("plan"), failed("plan"), retried("plan"), started("plan", 2), failed("plan", 2))
    run = run.and_(retried("plan", 3), started("plan", 3))
    past = run.run.step("plan").past
    assert [(attempt.number, attempt.worker, attempt.error) for attempt in past] == [
        (1, WORKER, BROKEN),
        (2, WORKER, BROKEN),
    ]
