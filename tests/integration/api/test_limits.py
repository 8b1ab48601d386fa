"""What is too much, too long, too deep or a trick gets a clear 4xx, whatever the call, and nothing is written."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest

from orchestrator.application.core import Core
from tests.world.core import register
from tests.world.http import RUNS
from tests.world.lines import LINE

LONG = "x" * 256
NOBODY = f"{RUNS}/018f3c2e-0000-7000-8000-000000000001"
CHANGE = {"type": "payload.patch", "payload": {}}
TOO_MUCH: list[tuple[str, dict[str, Any]]] = [
    ("5,000 labels", {"labels": {f"key {number}": "value" for number in range(5000)}}),
    ("a label's key of 256 characters", {"labels": {LONG: ""}}),
    ("a label's value of 256 characters", {"labels": {"a": LONG}}),
    ("a workflow's name of 256 characters", {"workflowName": LONG}),
    ("a version of 256 characters", {"workflowVersion": LONG}),
    ("a priority of 33 bits", {"priority": 2**31}),
    ("a priority of 1,000 digits", {"priority": 10**1000}),
    ("an unknown field", {"unknown": 1}),
    ("a field of the log", {"tenant": "others"}),
    ("a hundred unknown fields", {f"unknown{number}": 1 for number in range(100)}),
]


@pytest.fixture
async def untouched(core: Core) -> Any:
    """The log's length; it must not grow."""
    await register(core, LINE)
    before = core.log.last_position()
    yield before
    assert core.log.last_position() == before


def refused(answer: httpx.Response, *statuses: int) -> dict[str, Any]:
    assert answer.status_code in (statuses or (400,)), answer.text[:500]
    body: dict[str, Any] = answer.json()
    assert set(body) == {"error", "message", "details"}
    assert len(answer.content) < 200_000, "the answer must not grow with the fault"
    return body


FIELDS = "; valid fields: workflowName, workflowVersion, triggerPayload, priority, labels, noCache, force"


@pytest.mark.usefixtures("untouched")
async def test_a_run_that_is_too_much(client: httpx.AsyncClient, subtests: pytest.Subtests) -> None:
    for what, more in TOO_MUCH:
        with subtests.test(what):
            body = json.dumps({"workflowName": "test.line", **more})
            answer = await client.post(RUNS, content=body, headers={"Content-Type": "application/json"})
            assert refused(answer)["error"] == "VALIDATION_ERROR"


def calls_with_a_body() -> Iterator[tuple[str, dict[str, Any]]]:
    run = f"{RUNS}/{uuid4()}"
    yield RUNS, {"workflowName": "test.line"}
    yield f"{run}/update", {"changeRequest": CHANGE}
    yield f"{run}/update/plan", {"changeRequest": CHANGE}
    yield f"{run}/cancel", {"reason": "x"}
    yield "/api/v1/workflows", {"workflowName": "a", "version": "1", "steps": [{"stepId": "a", "skillId": "b"}]}


@pytest.mark.usefixtures("untouched")
async def test_every_body_has_the_same_limits(client: httpx.AsyncClient, subtests: pytest.Subtests) -> None:
    for path, body in calls_with_a_body():
        deep: Any = 1
        for _ in range(70):
            deep = [deep]
        whole = json.dumps(body)
        bodies = {
            "an unknown field": (json.dumps({**body, "unknown": 1}), 400),
            "too deep": (json.dumps({**body, "unknown": deep}), 400),
            "deeper than any parser": ('{"a":' * 100_000, 400),
            "no UTF-8": (b'{"workflowName": "\xff"}', 400),
            "half a surrogate": (rb'{"workflowName": "\ud800"}', 400),
            "cut": (whole[:-1], 400),
            "twice": (whole + whole, 400),
            "a list": (f"[{whole}]", 400),
            "too large": (b" " * ((1 << 20) + 1), 413),
        }
        for what, (content, status) in bodies.items():
            with subtests.test(what, path=path):
                refused(await client.post(path, content=content, headers={"Content-Type": "application/json"}), status)
        with subtests.test("another kind", path=path):
            refused(await client.post(path, content=whole, headers={"Content-Type": "text/plain"}), 415)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("number", ["20000000000000000001", "-9007199254740992", "9" * 400, "1" + "0" * 5000])
async def test_an_integer_that_would_change_on_the_way_is_refused(client: httpx.AsyncClient, number: str) -> None:
    run = f"{RUNS}/{uuid4()}"
    bodies = {
        RUNS: ('{"workflowName": "test.line", "triggerPayload": {"a": [%s]}}', "triggerPayload.a[0]"),
        f"{RUNS}:batch": (
            '{"runs": [{"workflowName": "test.line", "triggerPayload": {"a": %s}}]}',
            "runs[0].triggerPayload.a",
        ),
        f"{run}/update": (
            '{"changeRequest": {"type": "payload.patch", "payload": {"a": %s}}}',
            "changeRequest.payload.a",
        ),
    }
    for path, (body, place) in bodies.items():
        answer = refused(await client.post(path, content=body % number, headers={"Content-Type": "application/json"}))
        paths = [fault["path"] for fault in answer["details"]["faults"]]
        if len(number) < 300:
            assert paths == [place]
            assert "is beyond 2**53 - 1; send it as text" in answer["message"]
        else:  # no float is as large, so it is no JSON to any parser
            assert paths == ["body"]


BAD_IDS = [
    "x",
    "0",
    "0" * 37,
    "../../etc/passwd",
    "%00",
    "..",
    "{}",
    "018f3c2e-0000-7000-8000-00000000000g",
    "é",
    "%ff",
]


@pytest.mark.usefixtures("untouched")
async def test_a_bad_id_is_refused_by_every_call_that_takes_one(
    client: httpx.AsyncClient, subtests: pytest.Subtests
) -> None:
    calls = [
        *(("GET", f"{RUNS}/{{}}{rest}") for rest in ("", "/steps", "/artifacts", "/events", "/events/stream")),
        *(("POST", f"{RUNS}/{{}}{rest}") for rest in ("/cancel", "/retry")),
        ("GET", f"{RUNS}/{{}}/cache-analysis"),
        ("GET", "/api/v1/artifacts/{}/content"),
    ]
    for method, path in calls:
        for bad in BAD_IDS:
            with subtests.test(bad, path=path):
                # 404 and 405 where a slash or dots make it another path
                refused(await client.request(method, path.format(quote(bad, safe="%"))), 400, 404, 405)


@pytest.mark.usefixtures("untouched")
async def test_names_in_paths_cannot_climb(client: httpx.AsyncClient, subtests: pytest.Subtests) -> None:
    for name in ("..%2f..%2fetc%2fpasswd", "%2e%2e", "a%00b", "%2fetc%2fpasswd", "C%3A%5Cx", LONG, "a" * 5000, "%ff"):
        with subtests.test(name[:40]):
            refused(await client.get(f"/api/v1/workflows/{name}"), 400, 404)


@pytest.mark.usefixtures("untouched")
async def test_questions_have_limits(client: httpx.AsyncClient, subtests: pytest.Subtests) -> None:
    for query in (
        f"workflowName={LONG}",
        f"label={LONG}:x",
        f"label=x:{LONG}",
        f"cursor={LONG}",
        "limit=1000000",
        "limit=" + "9" * 5000,
        "baseRunId=x",
        "a=1&" * 101,
        "status=%ff",
        "unknown=1",
        "limit=1&limit=2",
    ):
        with subtests.test(query[:40]):
            refused(await client.get(f"{RUNS}?{query}"))


@pytest.mark.usefixtures("untouched")
async def test_headers_have_limits(client: httpx.AsyncClient, subtests: pytest.Subtests) -> None:
    body = {"workflowName": "test.line"}
    for name, value in (("Idempotency-Key", LONG), ("Idempotency-Key", "a\tb")):
        with subtests.test(name):
            refused(await client.post(RUNS, json=body, headers={name: value}))
    for name, value in (("X-Min-Position", "x"), ("X-Min-Position", "9" * 100)):
        with subtests.test(name):
            refused(await client.get(f"{RUNS}/{uuid4()}", headers={name: value}))
    with subtests.test("Last-Event-ID"):
        refused(await client.get(f"{RUNS}/{uuid4()}/events/stream", headers={"Last-Event-ID": "-1"}))


@pytest.mark.parametrize(
    ("path", "body", "place", "hint"),
    [
        (RUNS, {"workflowname": "x"}, "workflowname", "; did you mean 'workflowName'?"),
        (RUNS, {"payload": {}}, "payload", "; did you mean 'triggerPayload'?"),
        (
            RUNS,
            {"zzz": {}},
            "zzz",
            FIELDS,
        ),
        (f"{RUNS}:batch", {"runs": [{}, {"label": {}}]}, "runs[1].label", "; did you mean 'labels'?"),
        (f"{RUNS}:batch", {"run": []}, "run", "; did you mean 'runs'?"),
        (f"{NOBODY}/cancel", {"reasons": "x"}, "reasons", "; did you mean 'reason'?"),
        (
            f"{NOBODY}/update",
            {"changeRequest": {"types": "x"}},
            "changeRequest.types",
            "; did you mean 'type'?",
        ),
    ],
)
async def test_an_unknown_field_is_named_with_the_one_that_was_meant(
    client: httpx.AsyncClient, path: str, body: dict[str, Any], place: str, hint: str
) -> None:
    faults = {
        fault["path"]: fault["message"] for fault in refused(await client.post(path, json=body))["details"]["faults"]
    }
    assert faults[place] == f"is an unknown field{hint}"


async def test_an_unknown_parameter_is_named_with_the_one_that_was_meant(client: httpx.AsyncClient) -> None:
    (fault,) = refused(await client.get(f"{RUNS}?workflowname=x"))["details"]["faults"]
    message = "is not a parameter of this endpoint; did you mean 'workflowName'?"
    assert fault == {"path": "workflowname", "message": message}


async def test_so_many_faults_are_counted_and_not_listed(client: httpx.AsyncClient) -> None:
    (fault,) = refused(await client.post(RUNS, json={f"a{number}": 1 for number in range(20_000)}))["details"]["faults"]
    assert fault == {"path": "body", "message": "has 20,001 faults, too many to list"}


LABELLED = {"workflowName": "x", "labels": {"a:b": "c"}}


@pytest.mark.parametrize(
    ("arguments", "place", "message"),
    [
        ({"method": "POST", "url": RUNS, "json": LABELLED}, 'labels["a:b"]', "must not be empty or contain ':'"),
        ({"method": "GET", "url": f"{RUNS}?label=a"}, "label", "must have the form key:value"),
        (
            {"method": "POST", "url": RUNS, "json": {"workflowName": "x"}, "headers": {"Idempotency-Key": "\t"}},
            "Idempotency-Key",
            "must be printable ASCII",
        ),
    ],
)
async def test_a_fault_is_told_in_words_and_not_as_a_regular_expression(
    client: httpx.AsyncClient, arguments: dict[str, Any], place: str, message: str
) -> None:
    (fault,) = refused(await client.request(**arguments))["details"]["faults"]
    assert fault == {"path": place, "message": message}


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (b'{"workflowName": "a", "workflowName": "b"}', "workflowName"),
        (b'{"workflowName": "a", "triggerPayload": {"n": [{"k": 1, "k": 2}]}}', "triggerPayload.n[0].k"),
        (b'{"workflowName": "a", "triggerPayload": {"n": 9007199254740993.0}}', "triggerPayload.n"),
        (b'{"workflowName": "a", "triggerPayload": {"n": 1e-400}}', "triggerPayload.n"),
    ],
)
async def test_a_body_that_does_not_mean_what_it_says(client: httpx.AsyncClient, text: bytes, place: str) -> None:
    answer = await client.post(RUNS, content=text, headers={"Content-Type": "application/json"})
    (fault,) = refused(answer)["details"]["faults"]
    assert fault["path"] == place


async def test_a_method_that_is_not_allowed_is_told_with_those_that_are(client: httpx.AsyncClient) -> None:
    answer = await client.request("PUT", RUNS)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, POST")
    assert answer.json()["message"] == "PUT is not allowed for this path; allowed: GET, POST"


async def test_a_compressed_body_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post(RUNS, json={"workflowName": "x"}, headers={"Content-Encoding": "gzip"})
    assert (answer.status_code, answer.json()["error"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert "Content-Encoding: gzip is not supported" in answer.json()["message"]
