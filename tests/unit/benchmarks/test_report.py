"""Ratios and verdicts of the benchmark's report: figures made up, arithmetic real."""

import json
from pathlib import Path

import pytest

from benchmarks import report as module
from benchmarks.report import Figure, Goal, Report, verdict


def report_with(*figures: tuple[str, float, str, str]) -> Report:
    report = Report({"cpu": "made up"})
    for what, value, unit, of in figures:
        report.add("W", what, value, unit, of=of)
    return report


def test_a_ratio_is_ours_divided_by_theirs() -> None:
    report = report_with(("p50", 5, "ms", module.OURS), ("p50", 20, "ms", "peer"))
    assert report.ratio(report.figures[1]) == 0.25


def test_there_is_no_ratio_without_a_figure_of_ours_under_the_same_label() -> None:
    report = report_with(("p95", 5, "ms", module.OURS), ("p50", 20, "ms", "peer"))
    assert report.ratio(report.figures[1]) is None


def test_nothing_is_divided_by_zero() -> None:
    report = report_with(("commits", 5, "commits", module.OURS), ("commits", 0, "commits", "peer"))
    assert report.ratio(report.figures[1]) is None


def test_seconds_are_not_divided_by_milliseconds() -> None:
    report = report_with(("p50", 5, "ms", module.OURS), ("p50", 1, "s", "peer"))
    with pytest.raises(ValueError, match="ms against s"):
        report.ratio(report.figures[1])


def test_a_goal_is_held_against_the_shortest_time_of_a_peer_that_was_measured_twice() -> None:
    report = report_with(
        ("p50", 5, "ms", module.OURS), ("p50", 20, "ms", "peer, one way"), ("p50", 10, "ms", "peer, another")
    )
    assert report.against(Goal("W", "p50", "peer", 0.2)) == 0.5


def test_a_goal_is_held_against_the_highest_rate_of_a_peer_that_was_measured_twice() -> None:
    report = report_with(
        ("rate", 100, "steps/s", module.OURS), ("rate", 20, "steps/s", "peer 1"), ("rate", 10, "steps/s", "peer 2")
    )
    assert report.against(Goal("W", "rate", "peer", 15)) == 5


def test_a_goal_about_a_peer_that_is_missing_is_shown_as_not_measured(capsys: pytest.CaptureFixture[str]) -> None:
    report = report_with(("p50", 5, "ms", module.OURS), ("p50", 20, "ms", "peer"))
    report.miss("other", "cannot be installed: no such release")
    report.show([Goal("W", "p50", "other", 0.2), Goal("W", "p50", "peer", 0.2)])
    shown = capsys.readouterr().out
    assert "not measured: other: cannot be installed: no such release" in shown
    assert shown.count("not measured") == 2
    assert "0.25" in shown


@pytest.mark.parametrize(
    ("goal", "value", "said"),
    [
        ("< 5", 5, "yes"),
        ("< 5", 5.1, "no"),
        ("> 1.3", 1.3, "yes"),
        ("> 1.3", 1.2, "no"),
        (">= 1,000", 999, "no"),
        (">= 1,000", 1000, "yes"),
        ("0", 0, ""),
        ("about 1", 1, ""),
        ("", 1, ""),
    ],
)
def test_a_verdict_reads_the_goal(goal: str, value: float, said: str) -> None:
    assert verdict(goal, value) == said


def test_rates_are_better_when_higher_and_times_when_lower() -> None:
    assert Figure("W", "rate", 1, "steps/s").higher_is_better
    assert not Figure("W", "p50", 1, "ms").higher_is_better


def test_the_file_holds_machine_figures_ratios_goals_and_what_is_missing(
    tmp_path: Path,
) -> None:
    report = report_with(("p50", 5, "ms", module.OURS), ("p50", 20, "ms", "peer"))
    report.miss("other", "why")
    document = json.loads(report.save([Goal("W", "p50", "peer", 0.2)], folder=tmp_path / "results").read_text())
    assert document["machine"] == {"cpu": "made up"}
    assert [figure["ratio"] for figure in document["figures"]] == [None, 0.25]
    assert [(goal["limit"], goal["ratio"]) for goal in document["goals"]] == [(0.2, 0.25)]
    assert document["missing"] == {"other": "why"}
