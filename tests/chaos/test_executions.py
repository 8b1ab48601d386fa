"""The journal of the skills is read right: what is said of it decides whether a storm passed."""

from pathlib import Path

import pytest

from tests.chaos.executions import overlaps, read_executions

ONE_AFTER_THE_OTHER = ["begin r a 1 10 7", "end r a 1 20 7", "begin r a 2 20 8", "end r a 2 30 8"]
AT_ONCE = ["begin r a 1 10 7", "begin r a 2 15 8", "end r a 2 18 8", "end r a 1 20 7"]
KILLED = ["begin r a 1 10 7", "begin r a 2 15 8", "end r a 2 18 8"]
SIDE_BY_SIDE = [
    "begin r a 1 10 7",
    "begin r b 1 11 7",
    "begin s a 1 12 8",
    *(f"end {place} 7" for place in ("r b 1 15",)),
]


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def found(journal: Path, lines: list[str], **more: dict[int, float]) -> list[str]:
    journal.write_text("\n".join(lines))
    return list(overlaps(read_executions(journal, **more)))


@pytest.mark.parametrize("lines", [ONE_AFTER_THE_OTHER, SIDE_BY_SIDE])
def test_what_is_executed_by_one_at_a_time(journal: Path, lines: list[str]) -> None:
    assert found(journal, lines) == []


@pytest.mark.parametrize("lines", [AT_ONCE, KILLED])
def test_a_step_that_is_executed_twice_at_once(journal: Path, lines: list[str]) -> None:
    (told,) = found(journal, lines)
    assert "run r executed a twice at the same time" in told
    assert "by 7" in told
    assert "by 8" in told


def test_what_a_process_was_executing_ends_when_it_is_killed(journal: Path) -> None:
    assert found(journal, KILLED, deaths={7: 14}) == []
    assert found(journal, KILLED, deaths={7: 16}) != []


def test_what_a_process_does_may_be_excused(journal: Path) -> None:
    journal.write_text("\n".join(AT_ONCE))
    assert list(overlaps(read_executions(journal), excused=lambda one, other: one.pid == 7)) == []
