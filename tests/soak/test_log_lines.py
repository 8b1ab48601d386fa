"""Logs that say the same again and again, or tell of a fault, do not get through."""

import json

from tests.soak.log_lines import LogLines


def line(message: str, second: int = 0, level: str = "warning", **more: object) -> str:
    return json.dumps({"time": f"2026-01-31T12:00:{second:02}.000Z", "level": level, "message": message, **more})


def counted(*lines: str) -> LogLines:
    found = LogLines()
    found.count("worker-1.1", lines)
    return found


def test_a_line_twice_a_second_is_a_fault_whatever_its_numbers() -> None:
    (told,) = counted(*(line(f"no answer within {number} s", number % 60) for number in range(120))).faults()
    assert told.startswith("worker-1.1 logged 120 times in the minute 2026-01-31T12:00")
    assert "no answer within # s" in told


def test_lines_that_tell_of_different_things_are_not_the_same() -> None:
    assert (
        counted(*(line("step completed", 0, "info", run_id=f"run-{'x' * number}") for number in range(300))).faults()
        == []
    )


def test_a_line_that_is_rarer_is_none() -> None:
    assert counted(*(line("connection lost", second) for second in range(60))).faults() == []


def test_an_error_that_no_fault_explains_is_one() -> None:
    assert counted(line("background duty failed, restarting", level="error")).faults() == [
        "logged 1 times as an error: background duty failed, restarting"
    ]
    assert counted(line("no heartbeat written, execution stops before the lease ends", level="error")).faults() == []


def test_what_is_no_line_of_the_log_is_a_fault() -> None:
    assert counted("Traceback (most recent call last):").faults() == [
        "not a line of the log: worker-1.1: Traceback (most recent call last):"
    ]
