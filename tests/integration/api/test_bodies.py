from collections.abc import AsyncIterator

import httpx
import pytest

from orchestrator.application.core import Core
from tests.world.core import register
from tests.world.http import RUNS
from tests.world.lines import LINE

JSON = {"Content-Type": "application/json"}


async def post(client: httpx.AsyncClient, body: bytes, headers: dict[str, str] | None = None) -> httpx.Response:
    return await client.post(RUNS, content=body, headers=JSON if headers is None else headers)


def payload(text: str) -> bytes:
    return b'{"workflowName": "test.line", "triggerPayload": {"x": %b}}' % text.encode()


UNSOUND = [
    (b"", "is missing"),
    (b"{", "is not JSON"),
    (b"{'workflowName': 1}", "is not JSON"),
    (payload("NaN"), "is not JSON"),
    (payload("Infinity"), "is not JSON"),
    (payload("1e999"), "is not JSON"),
    (payload(r'"\ud800"'), "is not JSON"),
    (payload(r'{"\udc00": 1}'), "is not JSON"),
    (b'{"workflowName": "\xff"}', "is not JSON"),
    (b'{"workflowName": "\xed\xa0\x80"}', "is not JSON"),
    (b"\xef\xbb\xbf{}", "is not JSON"),
    (payload("[" * 63 + "]" * 63), "is nested more than 64 levels deep"),
    (payload('{"a":' * 63 + "1" + "}" * 63), "is nested more than 64 levels deep"),
    (b"[" * 100_000, "is not JSON"),
]


async def test_a_body_that_is_no_sound_json_is_refused(client: httpx.AsyncClient, subtests: pytest.Subtests) -> None:
    for body, message in UNSOUND:
        with subtests.test(message, body=body[:60]):
            answer = await post(client, body)
            assert answer.status_code == 400
            (fault,) = answer.json()["details"]["faults"]
            assert fault["path"] == "body"
            assert message in fault["message"]


NULS = [
    (r'"\u0000"', "triggerPayload.x"),
    (r'["a", "b\u0000"]', "triggerPayload.x[1]"),
    (r'{"a\u0000": 1}', "triggerPayload.x"),
]


async def test_a_nul_character_is_refused_wherever_it_is(client: httpx.AsyncClient, subtests: pytest.Subtests) -> None:
    for text, place in NULS:
        with subtests.test(text):
            answer = await post(client, payload(text))
            assert answer.status_code == 400
            assert answer.json()["details"]["faults"] == [{"path": place, "message": "contains a NUL character"}]


HARMLESS = [r'"\\u0000"', "[" * 62 + "]" * 62, '"' + "[" * 500 + '"', "[" + "[]," * 100 + "[]]"]


async def test_what_only_looks_suspicious_is_accepted(
    core: Core, client: httpx.AsyncClient, subtests: pytest.Subtests
) -> None:
    await register(core, LINE)
    for text in HARMLESS:
        with subtests.test(text[:60]):
            answer = await post(client, payload(text))
            assert answer.status_code == 202, answer.text


async def test_json_is_json_by_any_name(core: Core, client: httpx.AsyncClient) -> None:
    await register(core, LINE)
    for kind in ["application/json", "APPLICATION/JSON; charset=utf-8", "application/x.y+json"]:
        assert (await post(client, payload("1"), {"Content-Type": kind})).status_code == 202
    assert (await post(client, payload("1"), {})).status_code == 415


async def test_another_kind_of_body_is_refused(client: httpx.AsyncClient) -> None:
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/yaml", "json"]:
        answer = await post(client, payload("1"), {"Content-Type": kind})
        assert (answer.status_code, answer.json()["error"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


def sized(size: int) -> bytes:
    body = payload('"' + "x" * (size - len(payload('""'))) + '"')
    assert len(body) == size
    return body


async def test_a_body_of_exactly_one_mebibyte_is_taken_and_not_a_byte_more(
    core: Core, client: httpx.AsyncClient
) -> None:
    await register(core, LINE)
    assert (await post(client, sized(1 << 20))).status_code == 202
    for path in (RUNS, "/api/v1/workflows"):
        answer = await client.post(path, content=sized((1 << 20) + 1), headers=JSON)
        assert (answer.status_code, answer.json()["error"]) == (413, "PAYLOAD_TOO_LARGE")


async def test_a_body_that_does_not_say_how_large_it_is_is_counted(core: Core, client: httpx.AsyncClient) -> None:
    await register(core, LINE)
    sent = 0

    async def pieces(size: int) -> AsyncIterator[bytes]:
        nonlocal sent
        body = sized(size)
        for start in range(0, size, 1000):
            sent += 1000
            yield body[start : start + 1000]

    answer = await client.post(RUNS, content=pieces(1 << 21), headers=JSON)
    assert (answer.status_code, answer.json()["error"]) == (413, "PAYLOAD_TOO_LARGE")
    assert sent < (1 << 20) + 2000  # it was not read to its end
    answer = await client.post(RUNS, content=pieces(1 << 20), headers=JSON)
    assert answer.status_code == 202
