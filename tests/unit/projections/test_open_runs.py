"""Which runs a projector keeps in memory."""

from orchestrator.domain.commands import TriggerRun
from orchestrator.domain.decide import decide_trigger
from orchestrator.domain.evolve import begin
from orchestrator.projections.open_runs import OpenRuns
from orchestrator.projections.read_models.contract import ProjectedRun
from orchestrator.workflows import define, step

WORKFLOW = define("w", "1", [step(f"s{number}", "test.s") for number in range(10)])


def run(name: str) -> ProjectedRun:
    trigger = decide_trigger(TriggerRun(1, "initial", {}), WORKFLOW)
    return ProjectedRun(begin(name, WORKFLOW, trigger), "default", 1, 1, 1)


def kept(runs: OpenRuns) -> list[str]:
    return [name for name in "abcdef" if name in runs]


def test_those_touched_longest_ago_are_left_out() -> None:
    runs = OpenRuns(max_steps=120)
    for name in "abc":
        runs[name] = run(name)
        runs.trim([name])
    assert kept(runs) == ["a", "b", "c"]
    runs.trim(["a"])
    runs["d"] = run("d")
    runs.trim(["d"])
    assert kept(runs) == ["a", "c", "d"]
    runs.drop("c")
    runs["e"] = run("e")
    runs.trim(["e"])
    assert kept(runs) == ["a", "d", "e"]


def test_those_just_touched_stay_however_many() -> None:
    runs = OpenRuns(max_steps=40)
    for name in "abcdef":
        runs[name] = run(name)
    runs.trim("cdef")
    assert kept(runs) == ["c", "d", "e", "f"]
    runs.trim("f")
    assert kept(runs) == ["f"]
    runs.clear()
    assert len(runs) == 0
