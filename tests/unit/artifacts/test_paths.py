"""A path is below its folder and of its own, whatever the names are."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.artifacts.paths import MAX_SEGMENT_BYTES, Paths, safe_segment


@pytest.mark.parametrize(
    ("name", "segment"),
    [
        ("a.txt", "a.txt"),
        ("Zoë 1.wav", "Zoë 1.wav"),
        (".hidden", ".hidden"),
        ("..", "__"),
        (".", "_"),
        ("", "_"),
        ("a.", "a_"),
        ("-rf", "_-rf"),
        ("a\\b", "a_b"),
        ("a\0b\n", "a_b_"),
        ("a\u202eb", "a_b"),
        ("C:", "C_"),
        ("nul", "_nul"),
        ("COM1.txt", "_COM1.txt"),
        ("x" * 300 + ".wav", "x" * (MAX_SEGMENT_BYTES - 4) + ".wav"),
        ("\ud800", "_"),
    ],
)
def test_a_name_is_one_segment(name: str, segment: str) -> None:
    assert safe_segment(name) == segment


def test_names_that_are_taken_get_a_number(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    names = [
        "a.txt",
        "a.txt",
        "A.TXT",
        "b/a.txt",
        "B/a.txt",
        "b",
        "c",
        "c/d",
        "\u00e9",
        "e\u0301",
        "x:y",
        "x?y",
        "a-2.txt",
    ]
    taken = [paths.take("step", name).relative_to(tmp_path / "step").as_posix() for name in names]
    assert taken == [
        "a.txt",
        "a-2.txt",
        "A-3.TXT",
        "b/a.txt",
        "B/a-2.txt",
        "b-2",
        "c",
        "c-2/d",
        "\u00e9",
        "e\u0301-2",
        "x_y",
        "x_y-2",
        "a-2-2.txt",
    ]


@given(st.lists(st.text(), min_size=1, max_size=8))
def test_every_path_is_below_the_folder_and_no_two_are_the_same(names: list[str]) -> None:
    folder = Path("/folder")
    paths = Paths(folder)
    taken = [paths.take("..", name) for name in names]
    assert len({str(path).casefold() for path in taken}) == len(names)
    for path in taken:
        assert path.is_relative_to(folder)
        assert ".." not in path.parts
        assert all(len(part.encode()) <= 255 for part in path.parts)
