from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.complaint import Complaint
from orchestrator.cli.inputs import (
    read_age,
    read_labels,
    read_limits,
    read_payload,
    read_run_id,
    read_since,
    require_place,
)
from orchestrator.cli.options import listed
from orchestrator.cli.references import read_reference


def test_a_payload_is_given_in_place_or_in_a_file_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "payload.json").write_text('\ufeff{"a": 1}', encoding="utf-8")
    assert read_payload(None) == {}
    assert read_payload('{"a": 1}') == {"a": 1}
    assert read_payload(f"@{tmp_path / 'payload.json'}") == {"a": 1}


def test_a_file_without_a_name_is_told() -> None:
    with pytest.raises(Complaint, match=r"--payload @ names no file"):
        read_payload("@")


def test_an_age_or_a_time_since_when() -> None:
    now = datetime.now(UTC)
    assert timedelta(hours=2) < now - datetime.fromisoformat(read_since("2.01h")) < timedelta(hours=3)
    assert read_since("2026-01-31") == "2026-01-31T00:00:00.000Z"
    assert read_since("2026-01-31T13:00:00.5+01:00") == "2026-01-31T12:00:00.500Z"
    for wrong in ("yesterday", "2026-01-31T12:00:00", "", "3 fortnights", "999999d"):
        with pytest.raises(Complaint, match="age"):
            read_since(wrong)


@pytest.mark.parametrize("given", ["", "{", "[1]", "null", "@", "@nowhere.json", "[" * 100_000])
def test_what_is_no_payload_is_named(given: str) -> None:
    with pytest.raises(Complaint, match="A payload is a JSON object"):
        read_payload(given)


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "payload.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Complaint, match="not UTF-8"):
        read_payload(f"@{tmp_path / 'payload.json'}")


def test_labels() -> None:
    assert read_labels(["a=b", "c=d=e", "f="]) == {"a": "b", "c": "d=e", "f": ""}
    assert read_labels(None) == {}
    for wrong in ("a", "=b"):
        with pytest.raises(Complaint, match="--label key=value"):
            read_labels([wrong])


def test_what_names_a_run_is_brought_to_its_usual_form() -> None:
    plain = "0197a6c2-1b7e-7c42-9d5c-2f3e8a1b4c5d"
    assert read_reference(plain.upper()) == plain
    assert read_reference(f"{{{plain}}}") == plain
    assert read_reference("0197A6C2-1b") == "0197a6c21b"
    assert read_reference("@last") == "@last"
    assert read_reference("@last:hello.v1") == "@last:hello.v1"
    for wrong, told in (
        ("019", "at least 4 characters"),
        ("latest", "runs list"),
        ("", "runs list"),
        ("@last:", "names no workflow"),
        ("@first", "@last"),
        ("0197a6c2-1b7e-7c42-9d5c-2f3e8a1b4c5d0", "runs list"),
    ):
        with pytest.raises(Complaint, match=told):
            read_reference(wrong)


def test_a_run_id_is_brought_to_its_usual_form() -> None:
    plain = "0197a6c2-1b7e-7c42-9d5c-2f3e8a1b4c5d"
    assert read_run_id(plain.upper()) == plain
    assert read_run_id(plain.replace("-", "")) == plain
    with pytest.raises(Complaint, match="runs list"):
        read_run_id("latest")


def test_a_repeated_option_may_list_several() -> None:
    assert listed(None) is None
    assert listed(["a", "b, c"]) == ("a", "b", "c")


def test_a_complaint_names_cause_and_fix() -> None:
    assert str(Complaint("It is broken.", "Mend it.")) == "It is broken. Mend it."
    assert str(Complaint("It is broken")) == "It is broken"


def limits(older: float | None, entries: int | None = None, size: int | None = None) -> dict[str, Any]:
    return {"older_than_seconds": older, "max_entries": entries, "max_bytes": size}


def test_limits_of_a_prune() -> None:
    assert read_limits("30d", None, None) == limits(30 * 86_400)
    assert read_limits("1.5h", 0, None) == limits(5400, 0)
    assert read_limits("0s", 7, "10GB") == limits(0, 7, 10**10)
    for given, count in {"1 kB": 1000, "2KiB": 2048, "0.5MB": 500_000, "3gib": 3 << 30, "9b": 9}.items():
        assert read_limits(None, None, given) == limits(None, None, count)


@pytest.mark.parametrize("given", ["", "30", "d", "-1d", "1 fortnight", "1e3d", "nan d", "30GB"])
def test_what_is_no_age_is_named(given: str) -> None:
    with pytest.raises(Complaint, match=r"Invalid age .*\. Write it like 90s, 45m, 12h or 30d"):
        read_limits(given, None, None)


@pytest.mark.parametrize("given", ["", "10", "10G", "30d", "-1GB"])
def test_what_is_no_size_is_named(given: str) -> None:
    with pytest.raises(Complaint, match=r"Invalid size .*\. Write it like 500kB"):
        read_limits(None, None, given)


def test_a_prune_has_a_limit() -> None:
    with pytest.raises(Complaint, match="--older-than 30d"):
        read_limits(None, None, None)


def test_what_is_withdrawn_is_named() -> None:
    require_place(["a"], None, None)
    require_place([], "w", None)
    require_place([], "w", "s")
    for keys, step in (([], None), ([], "s"), (["a"], "s")):
        with pytest.raises(Complaint, match="or --workflow NAME"):
            require_place(keys, None, step)


def test_an_age_has_an_end() -> None:
    assert read_age("36500d") == 36_500 * 86_400
    for given in ("36501d", "9999999999d", "999999999999999w"):
        with pytest.raises(Complaint, match=r"The age .* is too large") as caught:
            read_age(given)
        assert "maximum is 36500d" in str(caught.value)
    for given in ("-1d", "1e9d", "infd", "nand", "\N{ARABIC-INDIC DIGIT THREE}d", "1" * 400 + "s"):
        with pytest.raises(Complaint, match="Invalid age"):
            read_age(given)


def test_a_size_has_an_end() -> None:
    assert read_limits(None, None, "9007TB")["max_bytes"] == 9007 * 10**12
    with pytest.raises(Complaint, match=r"The size .* is too large"):
        read_limits(None, None, "9008TB")
