"""The words of our field are used, and not those that only we understood: see docs/glossary.md."""

import re
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT, files, shown

INSTEAD = {
    r"whoever|whomever": "the caller, the client, the user",
    r"anew": "again",
    r"in vain": "without success",
    r"(is|are) away": "is unavailable",
    r"(is|are) (told|let in)|letting in": "is notified, is authenticated",
    r"stands? for": "means, represents",
    r"in spite of": "despite",
    r"put up with": "how long something may fail",
    r"figures": "metrics, numbers, results",
    r"is not whole": "is incomplete",
    r"surroundings": "environment, services",
    r"what (comes|came) ": "name the thing",
    r"to see to": "part of, responsible for",
    r"so many ": "how many, up to",
    r"for want of": "without",
    r"held against": "compared with",
    r"gives? way": "is aborted, yields",
    r"patience": "timeout",
    r"forgo|forgoes": "release",
    r"better (set|give|use)": "prefer",
}
OLD = re.compile(
    "|".join(rf"\b(?:{words})" + ("" if words.endswith(" ") else r"\b") for words in INSTEAD), re.IGNORECASE
)
"""Test names and comments of tests are not read by users."""


def faults(text: str) -> list[tuple[int, str]]:
    """Return the lines that hold an old word, with their numbers."""
    return [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if OLD.search(line)]


def test_the_old_words_are_gone() -> None:
    """What users and contributors read: docstrings, comments, messages, help texts and pages."""
    pages = [*files("docs", suffix=".md"), *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md"))]
    sql = [path for path in files("src", suffix=".sql") if path.parent.name != "migrations"]  # applied ones stay
    paths: list[Path] = [*files("src"), *files("examples"), *sql, *pages]
    found = {shown(path): lines for path in paths if (lines := faults(path.read_text(encoding="utf-8")))}
    assert found == {}, INSTEAD


@pytest.mark.parametrize(
    "line", ["Whoever asks must show a key.", "The server is away.", "so many tries", "Figures for Prometheus"]
)
def test_an_old_word_is_found(line: str) -> None:
    assert faults(line) == [(1, line)]


@pytest.mark.parametrize("line", ["forgotten keys", "configures", "a planet", "PATIENTS"])
def test_a_word_that_holds_one_is_not(line: str) -> None:
    assert faults(line) == []
