import asyncio
import hashlib
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from orchestrator.api.answers import is_match
from orchestrator.api.app import create_app
from orchestrator.api.content import content_type, disposition, parse_range
from orchestrator.api.errors import RangeNotSatisfiable
from orchestrator.application.core import Core
from orchestrator.domain.output import Artifact
from tests.world.http import LIMITS, RUNS, connect, finished

TEXT = "0123456789" * 100


@pytest.fixture
async def artifact(core: Core, client: httpx.AsyncClient) -> dict[str, Any]:
    """What the step `write` made of TEXT."""
    run = await finished(core, client, triggerPayload={"text": TEXT})
    (found,) = (await client.get(f"{RUNS}/{run['id']}/artifacts")).json()["artifacts"]
    assert found["runId"] == run["id"]
    return dict(found)


def url(artifact: dict[str, Any]) -> str:
    return f"/api/v1/artifacts/{artifact['id']}/content"


async def test_the_artifacts_of_a_run_by_step(client: httpx.AsyncClient, artifact: dict[str, Any]) -> None:
    assert artifact["stepId"] == "write"
    assert artifact["sizeBytes"] == len(TEXT)
    assert artifact["contentHash"] == hashlib.sha256(TEXT.encode()).hexdigest()
    listing = f"{RUNS}/{artifact['runId']}/artifacts"
    assert (await client.get(f"{listing}?stepId=write")).json()["artifacts"] == [artifact]
    assert (await client.get(f"{listing}?stepId=read")).json()["artifacts"] == []


async def test_content_comes_with_its_type_name_and_hash(client: httpx.AsyncClient, artifact: dict[str, Any]) -> None:
    answer = await client.get(url(artifact))
    assert answer.status_code == 200
    assert answer.text == TEXT
    headers = answer.headers
    assert headers["content-type"] == "text/plain"
    assert headers["content-length"] == str(len(TEXT))
    assert headers["etag"] == f'"{artifact["contentHash"]}"'
    assert headers["accept-ranges"] == "bytes"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-disposition"] == (
        "attachment; filename=\"what is _ _.txt\"; filename*=UTF-8''what%20is%20%C3%B6%20%C3%A9.txt"
    )


async def test_who_has_it_is_not_sent_it_again(client: httpx.AsyncClient, artifact: dict[str, Any]) -> None:
    tag = f'"{artifact["contentHash"]}"'
    for given in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        answer = await client.get(url(artifact), headers={"If-None-Match": given})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
    assert (await client.get(url(artifact), headers={"If-None-Match": '"x"'})).status_code == 200


async def test_a_part_of_it(client: httpx.AsyncClient, artifact: dict[str, Any]) -> None:
    for given, start, end in (
        ("0-0", 0, 1),
        ("5-14", 5, 15),
        ("990-", 990, 1000),
        ("-3", 997, 1000),
        ("5-9999", 5, 1000),
    ):
        answer = await client.get(url(artifact), headers={"Range": f"bytes={given}"})
        assert answer.status_code == 206
        assert answer.text == TEXT[start:end]
        assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/1000"
        assert answer.headers["content-length"] == str(end - start)
    tag = f'"{artifact["contentHash"]}"'
    for condition, status in ((tag, 206), ('"other"', 200)):
        answer = await client.get(url(artifact), headers={"Range": "bytes=0-1", "If-Range": condition})
        assert answer.status_code == status
    answer = await client.get(url(artifact), headers={"Range": "bytes=1000-"})
    assert (answer.status_code, answer.json()["error"]) == (416, "RANGE_NOT_SATISFIABLE")
    assert answer.headers["content-range"] == "bytes */1000"


async def test_unknown_and_foreign_artifacts_are_not_found(
    core: Core, client: httpx.AsyncClient, artifact: dict[str, Any]
) -> None:
    answer = await client.get(f"/api/v1/artifacts/{uuid4()}/content")
    assert (answer.status_code, answer.json()["error"]) == (404, "ARTIFACT_NOT_FOUND")
    assert (await client.get("/api/v1/artifacts/x/content")).status_code == 400
    others = core.settings.model_copy(update={"tenant": "others"})
    async with connect(create_app(replace(core, settings=others), LIMITS)) as stranger:
        assert (await stranger.get(url(artifact))).status_code == 404


@pytest.mark.parametrize("harm", ["removed", "altered", "cut"])
async def test_bytes_that_are_not_what_they_were_are_gone(
    client: httpx.AsyncClient, artifact: dict[str, Any], harm: str
) -> None:
    path = Path(artifact["uri"].removeprefix("file://"))
    path.chmod(0o600)
    match harm:
        case "removed":
            path.unlink()
        case "altered":
            path.write_text(TEXT[::-1])
        case "cut":
            path.write_text(TEXT[:-1])
    for headers in ({}, {"Range": "bytes=0-1"}):
        answer = await client.get(url(artifact), headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (410, "ARTIFACT_GONE")
        assert answer.json()["details"]["artifactId"] == artifact["id"]


def made(type: str = "text/plain", filename: str | None = None) -> Artifact:
    return Artifact("x", type, "file:///x", "0" * 64, 10, filename)


@pytest.mark.parametrize(
    ("artifact", "expected"),
    [
        (made("image/png"), "image/png"),
        (made("text/plain; charset=utf-8"), "text/plain; charset=utf-8"),
        (made("music", "a.wav"), "audio/x-wav"),
        (made("music", "a.unheard-of"), "application/octet-stream"),
        (made("music"), "application/octet-stream"),
        (made("text/html\r\nX: y"), "application/octet-stream"),
        (made("a/b/c"), "application/octet-stream"),
    ],
)
def test_the_type_of_content(artifact: Artifact, expected: str) -> None:
    assert content_type(artifact) in (expected, expected.replace("x-wav", "wav"))


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        (None, "attachment"),
        ("a.txt", 'attachment; filename="a.txt"'),
        ("folder/a.txt", 'attachment; filename="a.txt"'),
        ('a".txt', "attachment; filename=\"a_.txt\"; filename*=UTF-8''a%22.txt"),
        ("a;b=c.txt", "attachment; filename=\"a_b_c.txt\"; filename*=UTF-8''a%3Bb%3Dc.txt"),
        ("ü.png", "attachment; filename=\"_.png\"; filename*=UTF-8''%C3%BC.png"),
        ("a\r\nb", "attachment; filename=\"a__b\"; filename*=UTF-8''a%0D%0Ab"),
    ],
)
def test_the_name_of_content_cannot_break_out(filename: str | None, expected: str) -> None:
    assert disposition(made(filename=filename)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ("bytes=0-4", (0, 5)),
        ("bytes=9-9", (9, 10)),
        ("bytes=3-", (3, 10)),
        ("bytes=-20", (0, 10)),
        ("bytes = 1 - 2", (1, 3)),
        ("bytes=4-3", None),
        ("bytes=0-1,3-4", None),
        ("lines=0-1", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
    ],
)
def test_ranges(text: str | None, expected: tuple[int, int] | None) -> None:
    assert parse_range(text, 10) == expected


@pytest.mark.parametrize(("text", "size"), [("bytes=10-", 10), ("bytes=-0", 10), ("bytes=0-", 0), ("bytes=-1", 0)])
def test_ranges_without_a_byte(text: str, size: int) -> None:
    with pytest.raises(RangeNotSatisfiable):
        parse_range(text, size)


def test_no_condition_matches_nothing() -> None:
    assert not is_match(None, '"a"')
    assert not is_match("", '"a"')


async def test_an_artifact_is_checked_in_threads_that_nobody_else_needs(
    core: Core, client: httpx.AsyncClient, artifact: dict[str, Any]
) -> None:
    (blob,) = Path(core.settings.artifact_url).rglob(f"*{artifact['contentHash'][4:]}")
    blob.chmod(0o600)
    blob.write_text("x" * artifact["sizeBytes"])
    free = threading.Event()
    busy = [asyncio.get_running_loop().run_in_executor(None, free.wait, 60) for _ in range(64)]
    try:
        async with asyncio.timeout(10):
            answer = await client.get(url(artifact))
        assert answer.status_code == 410
    finally:
        free.set()
        await asyncio.gather(*busy)
