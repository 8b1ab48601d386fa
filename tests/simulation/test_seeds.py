"""Seeds: those that failed once are played first, and one that fails is printed and kept."""

import argparse
from dataclasses import replace
from pathlib import Path

import pytest

from tests.simulation import __main__ as simulation
from tests.simulation.scenario import Scenario
from tests.simulation.schedule import Outcome, play


def asked(seed: int, schedules: int) -> argparse.Namespace:
    return argparse.Namespace(seed=seed, schedules=schedules, minutes=None)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    file = tmp_path / "corpus.txt"
    file.write_text("# words\n3 it was slow\n1 it was wrong\n")
    return file


def test_the_corpus_is_played_first(corpus: Path) -> None:
    assert list(simulation.seeds(asked(7, 2), corpus)) == [3, 1, 7, 8]


def test_one_schedule_is_one_schedule(corpus: Path) -> None:
    assert list(simulation.seeds(asked(7, 1), corpus)) == [7]


def test_the_corpus_of_the_project_can_be_read() -> None:
    assert {0, 30, 57, 887} <= set(simulation.seeds(asked(1, 2)))


def test_a_seed_that_fails_is_printed_and_kept(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def found_out(one: Scenario) -> Outcome:
        outcome = play(one)
        return outcome if one.seed != 8 else replace(outcome, faults=["a step completed twice"])

    assert simulation.play_all(asked(7, 2), corpus, found_out) == 1
    told = capsys.readouterr().out
    assert "seed 8 fails" in told
    assert "a step completed twice" in told
    assert "repeat with: python -m tests.simulation --schedules 1 --seed 8" in told
    assert [line.split()[0] for line in corpus.read_text().splitlines()] == ["#", "3", "1", "8"]
    assert simulation.play_all(asked(8, 1), corpus, found_out) == 1
    assert corpus.read_text().count("\n8 ") == 1, "kept once"
