"""How often something is tried again, and after which pause."""

import pytest

from orchestrator.client.errors import ClientError, NoAnswer, RateLimited, RunNotFound
from orchestrator.client.trials import Trials


def test_pauses_grow_up_to_a_limit_and_vary() -> None:
    pauses = [Trials(99) for _ in range(50)]
    for number in range(10):
        found = [trials.pause_after(NoAnswer("lost")) for trials in pauses]
        longest = min(10.0, 0.2 * 2**number)
        assert longest / 2 <= min(found) < max(found) <= longest


def test_a_server_is_given_the_time_it_asks_for() -> None:
    assert Trials(9).pause_after(RateLimited(429, "X", "slow down", {}, 33.0)) == 33.0


@pytest.mark.parametrize("error", [RunNotFound(404, "X", "none"), RateLimited(429, "X", "slow down", {}, 61.0)])
def test_what_is_not_worth_another_try(error: ClientError) -> None:
    with pytest.raises(type(error)):
        Trials(9).pause_after(error)


def test_there_is_an_end_and_progress_begins_anew() -> None:
    trials = Trials(2)
    trials.pause_after(NoAnswer("lost"))
    trials.reset()
    trials.pause_after(NoAnswer("lost"))
    with pytest.raises(NoAnswer):
        trials.pause_after(NoAnswer("lost"))
