"""How answers read on a terminal or in a pipe."""

from typing import Any

import pytest

from orchestrator.cli.output.cache import print_explanation
from orchestrator.cli.output.replay import print_comparison
from orchestrator.cli.output.reports import progress_words
from orchestrator.cli.output.terminal import counted, duration


def test_an_explanation_has_no_empty_heading(capsys: pytest.CaptureFixture[str]) -> None:
    explained: dict[str, Any] = {
        "stepId": "render",
        "verdict": "miss",
        "reason": "no result with this key",
        "cacheKey": None,
        "components": None,
        "comparedWithRunId": None,
        "differences": [],
    }
    print_explanation(explained, as_json=False)
    assert capsys.readouterr().out == "step     render\nverdict  miss\nwhy      no result with this key\n"


def test_a_comparison_shows_durations_in_the_unit_that_fits(capsys: pytest.CaptureFixture[str]) -> None:
    differences = [{"field": "durationMs", "before": 7.9731030000402825, "after": 1234.0036180002411}]
    step = {"stepId": "render", "only": None, "main": None, "differences": differences}
    moment = {"runId": "r", "version": 1}
    found = {"before": moment, "after": moment, "run": [], "payload": [], "steps": [step], "reused": []}
    print_comparison(found, as_json=False)
    told = capsys.readouterr().out
    assert "no differences\n\nsame result, produced differently: render (8 ms, then 1.23 s)\n" in told
    assert "1 more difference of these steps" in told


def test_a_comparison_shows_a_step_on_one_row(capsys: pytest.CaptureFixture[str]) -> None:
    differences = [{"field": name, "before": 1, "after": 2} for name in ("inputHash", "data.a", "data.b", "outputHash")]
    step = {"stepId": "render", "only": None, "main": differences[1], "differences": differences}
    moment = {"runId": "r", "version": 1}
    found = {"before": moment, "after": moment, "run": [], "payload": [], "steps": [step], "reused": []}
    print_comparison(found, as_json=False)
    rows = capsys.readouterr().out.splitlines()
    assert [row.split() for row in rows if row.startswith("render")] == [["render", "data.a", "1", "2"]]
    assert rows[-1].startswith("3 more differences of these steps")


@pytest.mark.parametrize(
    ("progress", "message", "words"),
    [(0.0, None, ""), (None, None, ""), (0.0, "begins", "0% begins"), (0.5, None, "50%"), (1.0, "done", "100% done")],
)
def test_a_skill_that_says_nothing_is_not_at_zero(progress: float | None, message: str | None, words: str) -> None:
    assert progress_words({"progress": progress, "progressMessage": message}) == words


def test_numbers_and_their_nouns() -> None:
    assert [counted(number, "run") for number in (0, 1, 2000)] == ["0 runs", "1 run", "2,000 runs"]
    assert duration(None) == ""
