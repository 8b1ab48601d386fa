import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.cli.batches import parts
from orchestrator.cli.complaint import Complaint
from orchestrator.cli.inputs import read_each

payloads = st.lists(
    st.dictionaries(st.text(max_size=5), st.integers(0, 300_000).map("x".__mul__) | st.text(), max_size=2), max_size=20
)


@pytest.mark.slow
@given(payloads)
def test_parts_hold_everything_in_order_and_fit_in_a_request(asked: list[dict[str, Any]]) -> None:
    cut = list(parts(asked))
    assert [payload for part in cut for payload in part] == asked
    for part in cut:
        sizes = [len(json.dumps(payload, ensure_ascii=False).encode()) for payload in part]
        assert part
        assert len(part) == 1 or sum(sizes) <= 500_000
    assert all(len(cut[0]) == 500 for cut in [list(parts([{}] * 1001))])


def test_a_payload_a_line(tmp_path: Path) -> None:
    file = tmp_path / "briefs.jsonl"
    file.write_text('\ufeff{"a": 1}\r\n\n{"b": "\u2028"}\n', encoding="utf-8")
    assert read_each(file, None) == [{"a": 1}, {"b": "\u2028"}]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ('{"a": 1}\n{"a": \n', "line 2 is not JSON"),
        ('{"a": 1}\n\n[1]\n', "line 3 is JSON but not an object"),
        ("[" * 100_000, "line 1 is not JSON"),
    ],
)
def test_a_line_that_is_no_payload_is_named(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "briefs.jsonl"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(Complaint, match=said):
        read_each(file, None)


def test_a_file_that_is_not_there_and_two_kinds_of_payload(tmp_path: Path) -> None:
    with pytest.raises(Complaint, match=r"Cannot read .*briefs\.jsonl: No such file"):
        read_each(tmp_path / "briefs.jsonl", None)
    with pytest.raises(Complaint, match="--payload and --each"):
        read_each(tmp_path / "briefs.jsonl", "{}")
