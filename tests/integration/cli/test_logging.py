"""The log of a process: whoever writes, every line comes out in one form, on stderr."""

import json
import subprocess
import sys
from typing import Any

import pytest

SCRIPT = """
import logging, sys, structlog
from orchestrator.cli.logging import configure_logging
from orchestrator.settings import load_settings

configure_logging(load_settings(**{settings!r}), quiet={quiet!r})
logging.getLogger("uvicorn.error").info("what uvicorn tells")
logging.getLogger("some.library").info("hello %s", "there", extra={{"run_id": "r1"}})
logging.getLogger("some.library").warning("careful")
structlog.get_logger("orchestrator.skill").bind(step_id="s1").info("from a skill", size=3)
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("some.library").exception("it broke")
structlog.get_logger("orchestrator.projections.journal").{journal}("step failed", step_id="s1")
"""


def logged(quiet: bool = False, journal: str = "debug", **settings: str) -> str:
    script = SCRIPT.format(settings=settings, quiet=quiet, journal=journal)
    ended = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert ended.stdout == "", "stdout belongs to answers"
    return ended.stderr


def lines(**settings: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in logged(**settings).splitlines()]


def test_json_has_time_level_and_message_first_and_whatever_was_said_besides() -> None:
    hello, careful, skill, broke = lines(log_format="json")
    assert list(hello)[:3] == ["time", "level", "message"]
    assert (hello["level"], hello["message"], hello["run_id"]) == ("info", "hello there", "r1")
    assert hello["logger"] == "some.library"
    assert hello["time"].endswith("Z")
    assert careful["level"] == "warning"
    assert (skill["message"], skill["step_id"], skill["size"]) == ("from a skill", "s1", 3)
    assert "ZeroDivisionError" in broke["exception"]


def test_elsewhere_than_on_a_terminal_auto_is_json() -> None:
    assert len(lines(log_format="auto")) == 4


def test_text_for_people() -> None:
    text = logged(log_format="console")
    assert "hello there" in text
    assert "run_id=r1" in text
    assert "from a skill" in text
    assert "ZeroDivisionError: division by zero" in text
    assert "\x1b[" not in text, "no colours where there is no terminal"


def test_verbs_that_show_progress_log_warnings_only_unless_told_otherwise() -> None:
    assert [line["level"] for line in lines(quiet=True, log_format="json")] == ["warning", "error"]
    assert len(lines(quiet=True, log_format="json", log_level="info")) == 4
    assert [line["level"] for line in lines(log_format="json", log_level="error")] == ["error"]


JOURNAL = """
import logging
from orchestrator.cli.logging import configure_logging
from orchestrator.settings import load_settings

configure_logging(load_settings(log_format="console"))
logger = logging.getLogger("orchestrator.projections.journal")
fields = dict(run_id="0197a6c2-1b7e-7c42-9d5c-2f3e8a1b4c5d", at="2026", position=7, worker="w", cache_key="k" * 64)
for message, more in (
    ("run queued", dict(workflow="hello.v1", tenant="default")),
    ("step started", dict(workflow="hello.v1", step_id="greet", attempt=1, cache="miss", reason="no result")),
    ("step failed", dict(step_id="greet", attempt=2, error=dict(code="BROKEN", message="it\\nbroke"), tenant="acme")),
):
    logger.info(message, extra={**fields, **more, "status": "x"})
"""


def test_a_line_of_the_journal_takes_little_room_on_a_terminal() -> None:
    ended = subprocess.run([sys.executable, "-c", JOURNAL], check=True, capture_output=True, text=True)
    shown = [line.split("] ", 1)[1] for line in ended.stderr.splitlines()]
    run = "run_id=0197a6c2-1b7e-7c42-9d5c-2f3e8a1b4c5d"
    assert shown == [
        f"run queued {run} workflow=hello.v1",
        f"step started {run} step_id=greet",
        f"step failed {run} step_id=greet attempt=2 error='BROKEN: it broke' tenant=acme",
    ]
    assert all(len(line) <= 2 * 80 for line in ended.stderr.splitlines())


def test_the_finest_level_leaves_nothing_out() -> None:
    text = logged(log_format="console", log_level="debug")
    assert "[orchestrator.skill]" in text
    assert "[orchestrator.skill]" not in logged(log_format="console")


@pytest.mark.parametrize("level", ["info", "warning", "error"])
def test_verbs_that_show_progress_do_not_tell_events_twice(level: str) -> None:
    def told(**settings: Any) -> bool:
        return "step failed" in [line["message"] for line in lines(journal=level, log_format="json", **settings)]

    assert not told(quiet=True)
    assert told(quiet=True, log_level=level), "whoever asks for a level gets every line of it"
    assert told(log_level=level)
