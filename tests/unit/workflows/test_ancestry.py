"""Ancestors against brute force, cycles included."""

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.workflows.ancestry import Ancestry

Edges = dict[str, list[str]]


@st.composite
def edges(draw: st.DrawFn) -> Edges:
    names = [f"s{index}" for index in range(draw(st.integers(1, 8)))]
    return {name: draw(st.lists(st.sampled_from([*names, "unknown"]), max_size=3)) for name in names}


def reachable(found: Edges, start: str) -> set[str]:
    seen: set[str] = set()
    todo = list(found[start])
    while todo:
        step = todo.pop()
        if step in found and step not in seen:
            seen.add(step)
            todo += found[step]
    return seen


@given(edges())
def test_an_ancestor_is_what_can_be_reached(found: Edges) -> None:
    ancestry = Ancestry(found)
    for step in found:
        assert {other for other in found if ancestry.is_ancestor(other, step)} == reachable(found, step)


@given(edges())
def test_knots_are_the_steps_that_reach_each_other(found: Edges) -> None:
    in_knots = [set(knot) for knot in Ancestry(found).knots]
    for step in found:
        mutual = {other for other in reachable(found, step) if step in reachable(found, other)} - {step}
        assert (mutual | {step} in in_knots) == bool(mutual)


def test_ten_thousand_steps_in_a_row() -> None:
    steps = [f"s{index}" for index in range(10_000)]
    ancestry = Ancestry({step: steps[index - 1 : index] for index, step in enumerate(steps)})
    assert ancestry.is_ancestor("s0", "s9999")
    assert not ancestry.is_ancestor("s9999", "s0")
    assert ancestry.knots == []
