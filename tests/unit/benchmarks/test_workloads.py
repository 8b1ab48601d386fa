"""Every workload can be imported and is listed, the graph is the campaign's, and peers are pinned."""

import re
from importlib import import_module

import pytest

from benchmarks import __main__ as program
from benchmarks import floor
from benchmarks.goals import GOALS
from benchmarks.graphs import CAMPAIGN_EDGES, levels
from benchmarks.peers.environment import REQUIREMENTS, version_of
from tests.architecture.sources import ROOT, files

# Programs of the peers import what only their own environments have.
MODULES = [
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
    for path in files("benchmarks")
    if "programs" not in path.parts and path.stem not in ("__init__", "__main__")
]


@pytest.mark.parametrize("name", MODULES)
def test_a_module_can_be_imported_and_a_workload_is_listed(name: str) -> None:
    module = import_module(name)
    measures = [value for key, value in vars(module).items() if key.startswith("measure") and callable(value)]
    own = [measure for measure in measures if measure.__module__ == name and not isinstance(measure, type)]
    named = {*program.WORKLOADS.values()}
    assert all(measure in named for measure in own)


def test_levels_hold_each_step_once_behind_what_it_depends_on() -> None:
    placed: list[str] = []
    for level in levels():
        assert all(set(CAMPAIGN_EDGES[step]) <= set(placed) for step in level)
        placed += level
    assert sorted(placed) == sorted(CAMPAIGN_EDGES)
    assert len(levels()) == 5


@pytest.mark.parametrize(("style", "commits"), [(floor.by_event, 29), (floor.by_step, 15), (floor.by_level, 7)])
def test_the_hand_written_graph_has_the_events_of_a_run_however_it_commits(style, commits: int) -> None:  # type: ignore[no-untyped-def]
    run = floor.new_run()
    batches = list(style(run))
    events = [event for batch in batches for event in batch]
    assert len(batches) == commits
    assert [version for _, version, _ in events] == list(range(1, 30))
    assert sum(topic == "StepCompleted" for _, _, topic in events) == 13


@pytest.mark.parametrize("peer", ["dbos", "prefect", "redun"])
def test_every_version_of_a_peer_is_pinned(peer: str) -> None:
    lines = (REQUIREMENTS / f"{peer}.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)
    assert version_of(peer)


def test_goals_are_about_what_is_measured() -> None:
    assert len({(goal.workload, goal.what, goal.of) for goal in GOALS}) == len(GOALS)
