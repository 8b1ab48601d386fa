"""Tenants move between cells while everything crashes: nothing is lost or doubled, and each rule is needed for it."""

from itertools import count, islice

import pytest

from tests.simulation.cells.cell import Rules
from tests.simulation.cells.schedule import play

# A rule that is broken shows in the first schedules, but for one that needs a mover that comes back very late.
RARE = {"imports_only_while_closed": 1950}


def test_nothing_is_lost_or_doubled(pytestconfig: pytest.Config) -> None:
    first = int(pytestconfig.option.hypothesis_seed)
    played = {seed: play(seed) for seed in range(first, first + 100)}
    assert {seed: each.faults for seed, each in played.items() if each.faults} == {}
    assert sum(each.moves for each in played.values()) > 100
    assert sum(each.given_up for each in played.values()) > 10
    assert sum(each.crashes for each in played.values()) > 1000


@pytest.mark.parametrize("rule", Rules.__dataclass_fields__)
def test_each_rule_is_needed(rule: str) -> None:
    broken = Rules(**{rule: False})
    seeds = islice(count(RARE.get(rule, 1)), 300)
    assert any(play(seed, broken).faults for seed in seeds)


def test_a_schedule_is_always_the_same() -> None:
    assert play(7) == play(7)
