"""Errors: whatever was raised becomes something the log can keep."""

import asyncio
import math
import pickle
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import orjson
import pytest

from orchestrator.domain.errors import UnknownStep
from orchestrator.domain.output import StepError
from orchestrator.skills import SkillError, SkillNotFound, to_step_error


def raised(exception: BaseException) -> StepError:
    try:
        raise exception  # noqa: TRY301
    except BaseException as error:  # noqa: BLE001
        return to_step_error(error)


def test_skill_error_says_it_all() -> None:
    error = SkillError("QUOTA", "no credit", retryable=False, details={"left": 0}, retry_after_ms=50)
    assert to_step_error(error) == StepError("QUOTA", "no credit", {"left": 0}, False, 50)
    assert str(error) == "QUOTA: no credit"


@pytest.mark.parametrize(
    ("code", "retryable"),
    [
        ("SKILL_INPUT_INVALID", False),
        ("SKILL_OUTPUT_INVALID", False),
        ("SKILL_NOT_FOUND", False),
        ("SKILL_CANCELLED", False),
        ("SKILL_EXECUTION_FAILED", True),
        ("SKILL_TIMEOUT", True),
        ("WORKER_LOST", True),
        ("MY_OWN", True),
    ],
)
def test_code_decides_about_retries_unless_the_skill_does(code: str, retryable: bool) -> None:
    assert SkillError(code, "").retryable is retryable
    assert SkillError(code, "", retryable=not retryable).retryable is not retryable


def test_unknown_exception_keeps_type_words_and_place() -> None:
    error = raised(ValueError("odd"))
    assert (error.code, error.message, error.retryable) == ("SKILL_EXECUTION_FAILED", "ValueError: odd", True)
    assert error.details["type"] == "ValueError"
    assert "in raised" in error.details["traceback"]


def test_timeout_of_the_skills_own_is_an_ordinary_failure() -> None:
    assert raised(TimeoutError()).code == "SKILL_EXECUTION_FAILED"


def test_other_kinds() -> None:
    assert raised(asyncio.CancelledError()).code == "SKILL_CANCELLED"
    assert (raised(BrokenProcessPool("died")).code, raised(BrokenProcessPool()).retryable) == ("WORKER_LOST", True)
    refused = raised(UnknownStep("no step x", step="x"))
    assert (refused.code, refused.retryable, refused.details) == ("VALIDATION_ERROR", False, {"step": "x"})


def test_lonely_member_of_a_group_speaks_for_it() -> None:
    inner = SkillError("QUOTA", "no credit", retryable=False)
    assert raised(ExceptionGroup("tasks", [ExceptionGroup("more", [inner])])).code == "QUOTA"
    assert "ExceptionGroup" in raised(ExceptionGroup("tasks", [inner, ValueError()])).message


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


class Unreadable(Exception):
    """Nothing of it can be looked at without something being raised that is no Exception."""

    def __str__(self) -> str:
        raise SystemExit(0)

    __repr__ = __str__

    @property
    def __class__(self) -> Any:  # type: ignore[override]
        raise KeyboardInterrupt


class Elusive(SkillError):
    @property
    def code(self) -> str:
        raise GeneratorExit

    @code.setter
    def code(self, value: str) -> None: ...


def nested(levels: int) -> BaseException:
    error: BaseException = SkillError("QUOTA", "no credit")
    for _ in range(levels):
        error = BaseExceptionGroup("more", [error])
    return error


def test_a_group_of_one_in_a_group_of_one_and_so_on() -> None:
    assert to_step_error(nested(50_000)).code == "QUOTA"


@pytest.mark.parametrize(("asked", "kept"), [("soon", None), (float("nan"), None), (float("inf"), 2_592_000_000)])
def test_fields_of_the_wrong_type_do_no_harm(asked: Any, kept: int | None) -> None:
    error = SkillError(404, None, retryable="yes", details={}, retry_after_ms=asked)  # type: ignore[arg-type]
    assert to_step_error(error) == StepError("404", "None", {}, True, kept)


@pytest.mark.parametrize(
    "exception",
    [
        Unspeakable(),
        Elusive("X", "elusive"),
        RecursionError(),
        MemoryError(),
        ValueError("\0 \ud800 " + "x" * 100_000),
        SkillError("X", "\0\ud800", details={"bad": {1, 2}, "nan": float("nan"), 3: Unspeakable()}),  # type: ignore[dict-item]
        SkillError("X", "deep", details={"surrogate": "\ud800"}),
        SkillError("X", "nul", details={"nul": "a\0b"}),
        SkillError("X", "large", details={"large": "x" * 100_000}),
    ],
)
def test_log_can_keep_any_exception(exception: Exception) -> None:
    error = raised(exception)
    assert error.code
    content = orjson.dumps([error.code, error.message, error.details])
    assert len(content) < 32_000
    assert rb"\u0000" not in content


def test_log_can_keep_an_exception_that_cannot_be_looked_at() -> None:
    assert raised(Unreadable()).code == "SKILL_EXECUTION_FAILED"
    assert raised(SkillError("X", "", details={"bad": Unreadable()})).code == "X"


def test_plain_details_are_kept_as_they_are() -> None:
    details: dict[str, Any] = {"a": [1, {"b": None}], "c": "ü"}
    assert to_step_error(SkillError("X", "", details=details)).details == details


def test_errors_travel_between_processes() -> None:
    error = SkillError("QUOTA", "no credit", retryable=False, details={"a": 1}, retry_after_ms=5)
    for original in (error, SkillNotFound("audio.mx", ["audio.mix"])):
        copied = pickle.loads(pickle.dumps(original))
        assert type(copied) is type(original)
        assert to_step_error(copied) == to_step_error(original)


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        (50, 50),
        (1.5, 2),
        (-1, 0),
        (-math.inf, 0),
        (math.inf, 30 * 86_400_000),
        (10**400, 30 * 86_400_000),
        (9e14, 30 * 86_400_000),
        (math.nan, None),
        (True, None),
        ("5", None),
        ([5], None),
    ],
)
def test_a_pause_that_a_skill_asks_for_has_bounds(asked: Any, kept: int | None) -> None:
    assert to_step_error(SkillError("BUSY", "later", retry_after_ms=asked)).retry_after_ms == kept
