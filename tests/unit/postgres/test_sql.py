import copy
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.postgres.sql import SqlFileError, UnknownStatement, load_sql


def written(folder: Path, text: str) -> str:
    """The path of a module whose `.sql` file has this text."""
    (folder / "thing.sql").write_text(text, encoding="utf-8")
    return str(folder / "thing.py")


def test_blocks_are_reached_by_attribute_and_by_item(tmp_path: Path) -> None:
    statements = load_sql(written(tmp_path, "-- About.\n\n-- name: one\nSELECT 1\n\n--name:two\n-- why\nSELECT\n2;\n"))
    assert statements.one == "SELECT 1"
    assert statements["two"] == "-- why\nSELECT\n2;"
    assert list(statements) == ["one", "two"]


def test_an_unknown_block_names_the_file_and_what_it_has(tmp_path: Path) -> None:
    statements = load_sql(written(tmp_path, "-- name: one\nSELECT 1\n-- name: two\nSELECT 2"))
    with pytest.raises(UnknownStatement, match=r"thing\.sql has no block named 'three'; it has: one, two"):
        _ = statements.three
    with pytest.raises(UnknownStatement):
        _ = statements["three"]
    assert "three" not in statements
    assert not hasattr(statements, "three")


def test_statements_can_be_copied_and_sent_to_another_process(tmp_path: Path) -> None:
    statements = load_sql(written(tmp_path, "-- name: one\nSELECT 1"))
    assert copy.deepcopy(statements).one == "SELECT 1"
    assert pickle.loads(pickle.dumps(statements)).one == "SELECT 1"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("SELECT 1\n-- name: one\nSELECT 1", "above its first"),
        ("-- name: one\nSELECT 1\n-- name: one\nSELECT 2", "two blocks named 'one'"),
        ("-- name: one\n-- only words\n-- name: two\nSELECT 2", "nothing in the block named 'one'"),
        ("-- name: one two\nSELECT 1", "invalid block name 'one two'"),
        ("-- name:\nSELECT 1", "invalid block name ''"),
        ("-- name: _one\nSELECT 1", "invalid block name '_one'"),
    ],
)
def test_a_malformed_file_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(SqlFileError, match=problem):
        load_sql(written(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SqlFileError, match=r"thing\.sql cannot be read"):
        load_sql(str(tmp_path / "thing.py"))


NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,10}", fullmatch=True)
BODIES = st.text(st.sampled_from("SELECT 1,'\n;-"), min_size=1).map(lambda text: f"SELECT {text}".strip())


@given(st.dictionaries(NAMES, BODIES))
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, blocks: dict[str, str]) -> None:
    text = "".join(f"-- name: {name}\n{body}\n\n" for name, body in blocks.items())
    assert dict(load_sql(written(tmp_path_factory.mktemp("sql"), text))) == blocks
