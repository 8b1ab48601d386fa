"""The graph against slow and obvious versions of the same, on random graphs."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.graph import build_graph, components, find_cycle

Edges = dict[str, list[str]]


@st.composite
def acyclic(draw: st.DrawFn, max_steps: int = 12) -> Edges:
    """Steps in any order of declaration, with edges only from later to earlier of a hidden order."""
    hidden = [f"s{index}" for index in range(draw(st.integers(0, max_steps)))]
    edges = {
        step: draw(st.lists(st.sampled_from(hidden[:index]), unique=True)) if index else []
        for index, step in enumerate(hidden)
    }
    return {step: edges[step] for step in draw(st.permutations(hidden))}


@st.composite
def any_edges(draw: st.DrawFn) -> Edges:
    names = [f"s{index}" for index in range(draw(st.integers(0, 8)))]
    return {name: draw(st.lists(st.sampled_from([*names, "unknown"]), unique=True, max_size=3)) for name in names}


def reachable(edges: Mapping[str, Sequence[str]], start: str) -> set[str]:
    """Everything that can be reached from `start` over one edge or more, by brute force."""
    found: set[str] = set()
    while True:
        grown = found | {to for step in (found | {start}) for to in edges.get(step, ()) if to in edges}
        if grown == found:
            return found
        found = grown


def reversed_edges(edges: Edges) -> Edges:
    return {step: [other for other, needed in edges.items() if step in needed] for step in edges}


@given(acyclic())
def test_every_step_comes_after_its_dependencies(edges: Edges) -> None:
    order = build_graph(edges).order
    assert sorted(order) == sorted(edges)
    place = {step: index for index, step in enumerate(order)}
    assert all(place[needed] < place[step] for step, others in edges.items() for needed in others)


@given(acyclic())
def test_of_the_steps_that_could_come_next_the_one_declared_first_does(edges: Edges) -> None:
    declared = list(edges)
    done: set[str] = set()
    for step in build_graph(edges).order:
        free = [other for other in declared if other not in done and done.issuperset(edges[other])]
        assert step == free[0]
        done.add(step)


def test_steps_declared_in_a_sound_order_keep_it() -> None:
    assert build_graph({"a": [], "b": ["a"], "c": []}).order == ("a", "b", "c")


@given(acyclic(), st.data())
def test_downstream_is_what_brute_force_finds(edges: Edges, data: st.DataObject) -> None:
    seeds = data.draw(st.sets(st.sampled_from(sorted(edges)))) if edges else set()
    forward = reversed_edges(edges)
    assert build_graph(edges).downstream(seeds) == seeds.union(*(reachable(forward, seed) for seed in seeds))


@given(acyclic())
def test_ancestors_are_what_brute_force_finds(edges: Edges) -> None:
    graph = build_graph(edges)
    for step in edges:
        assert graph.ancestors(step) == reachable(edges, step)


@given(acyclic())
def test_dependents_are_the_dependencies_turned_round(edges: Edges) -> None:
    graph = build_graph(edges)
    assert {step: list(others) for step, others in graph.dependents.items()} == reversed_edges(edges)


@given(acyclic(), st.data())
def test_chains_lead_from_a_seed_to_each_step_on_the_shortest_way(edges: Edges, data: st.DataObject) -> None:
    seeds = data.draw(st.sets(st.sampled_from(sorted(edges)))) if edges else set()
    graph = build_graph(edges)
    chains = graph.path_from(sorted(seeds))
    assert set(chains) == graph.downstream(seeds)
    assert len(chains) == len(graph.downstream(seeds))
    distance = dict.fromkeys(seeds, 1)
    while len(distance) < len(chains):
        frontier = max(distance.values())
        for step in [step for step, length in distance.items() if length == frontier]:
            for dependent in graph.dependents[step]:
                distance.setdefault(dependent, frontier + 1)
    for step, chain in chains.items():
        assert chain[0] in seeds
        assert chain[-1] == step
        assert all(before in edges[after] for before, after in pairwise(chain))
        assert len(chain) == distance[step]


def test_the_chains_of_a_long_workflow_are_not_all_put_together() -> None:
    steps = [f"s{index}" for index in range(10_000)]
    graph = build_graph({step: steps[index - 1 : index] for index, step in enumerate(steps)})
    chains = graph.path_from(["s0"])
    assert len(chains["s9999"]) == 10_000


@given(any_edges())
def test_a_cycle_is_found_exactly_when_there_is_one_and_is_one(edges: Edges) -> None:
    cycle = find_cycle(edges)
    assert (cycle is not None) == any(step in reachable(edges, step) for step in edges)
    if cycle is not None:
        assert cycle[0] == cycle[-1]
        assert len(set(cycle)) == len(cycle) - 1
        assert all(after in edges[before] for before, after in pairwise(cycle))


@given(any_edges())
def test_components_are_the_steps_that_reach_each_other_dependencies_first(edges: Edges) -> None:
    reach = {step: reachable(edges, step) | {step} for step in edges}
    found = components(edges)
    assert sorted(step for component in found for step in component) == sorted(edges)
    for component in found:
        expected = {other for other in edges if other in reach[component[0]] and component[0] in reach[other]}
        assert set(component) == expected
    seen: set[str] = set()
    for component in found:
        seen.update(component)
        assert all(needed in seen for step in component for needed in edges[step] if needed in edges)


@given(any_edges())
def test_a_graph_is_refused_exactly_when_it_has_a_cycle_or_an_unknown_name(edges: Edges) -> None:
    unsound = find_cycle(edges) is not None or any("unknown" in needed for needed in edges.values())
    if unsound:
        with pytest.raises(ValueError, match=r"cycle: s\d|unknown step 'unknown'"):
            build_graph(edges)
    else:
        assert len(build_graph(edges).order) == len(edges)


def test_a_graph_with_a_cycle_names_it_in_order() -> None:
    with pytest.raises(ValueError, match="the steps form a cycle: a -> c -> b -> a"):
        build_graph({"a": ["c"], "b": ["a"], "c": ["b"], "d": []})
