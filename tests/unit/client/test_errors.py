"""From an answer to an error, whoever gave it."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from orchestrator.client import errors
from orchestrator.client.errors import ApiError, error_of


def body(code: str) -> bytes:
    return json.dumps({"error": code, "message": "told", "details": {"a": 1}}).encode()


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "VALIDATION_ERROR", errors.InvalidRequest),
        (400, "UNKNOWN_CHANGE_TYPE", errors.UnknownChangeType),
        (401, "WHATEVER", errors.NotAuthenticated),
        (403, "WHATEVER", errors.NotAllowed),
        (404, "RUN_NOT_FOUND", errors.RunNotFound),
        (404, "NOT_FOUND", errors.NotFound),
        (409, "PLAN_CHANGED", errors.PlanChanged),
        (409, "COMMAND_REFUSED", errors.Conflict),
        (418, "TEAPOT", ApiError),
        (429, "WHATEVER", errors.RateLimited),
        (500, "INTERNAL_ERROR", errors.ServerError),
        (503, "PROJECTION_LAGGING", errors.Unavailable),
    ],
)
def test_every_code_has_its_kind(status: int, code: str, kind: type[ApiError]) -> None:
    error = error_of(status, {}, body(code))
    assert type(error) is kind
    assert (error.status, error.code, error.message, error.details, str(error)) == (
        status,
        code,
        "told",
        {"a": 1},
        "told",
    )


@pytest.mark.parametrize(
    "text", [b"", b"<html>", b"[]", b'{"error": 1}', b'{"error":"x","message":"y","details":3}', b"\xff"]
)
def test_an_answer_of_another_shape_is_told_by_its_status(text: bytes) -> None:
    error = error_of(502, {}, text)
    assert (type(error), error.code, error.details) == (errors.Unavailable, "HTTP_502", {})
    assert "502 Bad Gateway" in str(error)
    assert "599" in str(error_of(599, {}, b""))


def test_what_a_server_asks_us_to_wait() -> None:
    assert error_of(429, {"Retry-After": "7"}, b"").retry_after == 7
    later = error_of(503, {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)}, b"")
    assert later.retry_after is not None
    assert 25 < later.retry_after <= 30
    assert error_of(503, {"Retry-After": "soon"}, b"").retry_after is None
    assert error_of(503, {"Retry-After": "\u00b2"}, b"").retry_after is None
    for far in ("9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"):
        assert error_of(503, {"Retry-After": far}, b"").retry_after == 86_400
    assert error_of(503, {}, b"").retry_after is None
