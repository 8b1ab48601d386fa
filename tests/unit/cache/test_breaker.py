"""When a server is left alone, and for how long."""

import pytest

from orchestrator.cache.breaker import Breaker


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock)


def fail(breaker: Breaker, times: int) -> list[bool]:
    return [breaker.failed() for _ in range(times)]


def test_it_opens_after_three_failures_in_a_row(breaker: Breaker) -> None:
    assert fail(breaker, 2) == [False, False]
    breaker.succeeded()
    assert fail(breaker, 2) == [False, False]
    assert breaker.admits()
    assert fail(breaker, 2) == [True, False]  # said once
    assert breaker.is_open
    assert not breaker.admits()


def test_after_a_rest_it_lets_one_call_pass(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 0.99
    assert not breaker.admits()
    clock.now += 0.01
    assert [breaker.admits() for _ in range(3)] == [True, False, False]


def test_one_success_closes_it(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 1
    assert breaker.admits()
    breaker.succeeded()
    assert not breaker.is_open
    assert [breaker.admits() for _ in range(3)] == [True, True, True]
    assert fail(breaker, 3) == [False, False, True]


def test_each_rest_is_twice_as_long_up_to_half_a_minute(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    rests = []
    for _ in range(8):
        before = clock.now
        while not breaker.admits():
            clock.now += 0.25
        rests.append(clock.now - before)
        breaker.failed()
    assert rests == [1, 2, 4, 8, 16, 30, 30, 30]


def test_a_trial_of_which_nothing_is_heard_is_followed_by_another(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 1
    assert breaker.admits()
    clock.now += 0.5
    assert not breaker.admits()
    clock.now += 0.5
    assert breaker.admits()


def test_calls_that_were_under_way_when_it_opened_do_not_make_the_rest_longer(breaker: Breaker, clock: Clock) -> None:
    assert fail(breaker, 50).count(True) == 1
    clock.now += 1
    assert breaker.admits()
    assert fail(breaker, 5).count(True) == 0
    clock.now += 2
    assert breaker.admits()
