"""The real program with its artifacts and archive on a real S3 server, which may stop while runs execute."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.folders import open_folder
from orchestrator.client import Client
from orchestrator.client.errors import ArtifactGone, ContentDamaged
from tests.s3 import S3Server
from tests.servers import Databases
from tests.waiting import eventually
from tests.world.programs import FIXTURES, Program, call, started

SERVE = ("--workflows", FIXTURES / "chain.yaml", "--skills", FIXTURES / "links.py", "--port", "0")
RUN = ("run", FIXTURES / "chain.yaml", "--skills", FIXTURES / "links.py", "--json")


@pytest.fixture(scope="module")
def own_server() -> Iterator[S3Server]:
    with open_folder() as folder, S3Server(folder) as server:
        yield server


@pytest.fixture
def server(own_server: S3Server) -> Iterator[S3Server]:
    """A server that a test may stop."""
    yield own_server
    own_server.start()


@pytest.fixture
def env(server: S3Server, database_url: str, home: Path) -> dict[str, str]:
    bucket = server.make_bucket()
    return {
        **server.environment,
        "ORCHESTRATOR_DATABASE_URL": database_url,
        "ORCHESTRATOR_DATA_DIR": str(home),
        "ORCHESTRATOR_ARTIFACT_URL": f"s3://{bucket}/artifacts",
        "ORCHESTRATOR_ARCHIVE_URL": f"s3://{bucket}/archive",
        "ORCHESTRATOR_SPILL_BYTES": "0",
    }


def bucket_of(env: dict[str, str]) -> str:
    return env["ORCHESTRATOR_ARTIFACT_URL"].split("/")[2]


def payload(home: Path, **given: Any) -> dict[str, Any]:
    return {"file": str(home / "made"), **given}


def keys(server: S3Server, bucket: str, prefix: str) -> list[str]:
    pages = server.client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [found["Key"] for page in pages for found in page.get("Contents", ())]


def events(run_id: str, env: dict[str, str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = call("history", run_id, "--json", env=env).document["events"]
    return found


def test_everything_that_works_with_files_works_with_buckets(
    server: S3Server, env: dict[str, str], home: Path, tmp_path: Path
) -> None:
    given = json.dumps(payload(home))
    first = call(*RUN, "--payload", given, env=env)
    assert first.code == 0, first.err
    run_id = first.document["id"]
    assert not (home / "artifacts").exists()
    assert len(keys(server, bucket_of(env), "artifacts/default/sha256/")) >= 12  # six files, six steps' data, and logs
    assert call("artifacts", "list", run_id, "--download", tmp_path, env=env).code == 0
    assert (tmp_path / "first" / "first.txt").read_bytes() == b"first"
    again = call(*RUN, "--payload", given, env=env)
    assert {step["hitReason"] for step in call("steps", again.document["id"], "--json", env=env).document["steps"]} == {
        "cache"
    }
    proof = call("audit", "verify", "--json", env=env)
    assert (proof.code, proof.document["findings"]) == (0, []), proof.err

    server.client().put_object(Bucket=bucket_of(env), Key=f"artifacts/default/sha256/ab/{'0' * 62}", Body=b"garbage")
    pruned = call("artifacts", "prune", "--older-than", "0s", "--json", env=env)
    assert (pruned.document["objects"], pruned.document["sizeBytes"]) == (1, 7), pruned.err

    call("cache", "prune", "--max-entries", "0", env=env)
    archived = call("retention", "apply", "--older-than", "0s", "--json", env=env)
    assert archived.document["runs"] >= 1, archived.err
    assert len(keys(server, bucket_of(env), "archive/")) == len(archived.document["files"])
    proof = call("audit", "verify", "--json", env=env)
    assert (proof.code, proof.document["findings"]) == (0, []), proof.err


def test_a_damaged_object_is_found_by_the_audit(server: S3Server, env: dict[str, str], home: Path) -> None:
    assert call(*RUN, "--payload", json.dumps(payload(home)), env=env).code == 0
    lost, altered = keys(server, bucket_of(env), "artifacts/default/sha256/")[:2]
    server.client().delete_object(Bucket=bucket_of(env), Key=lost)
    server.client().put_object(Bucket=bucket_of(env), Key=altered, Body=b"?")
    proof = call("audit", "verify", "--json", env=env)
    messages = " ".join(finding["message"] for finding in proof.document["findings"])
    assert proof.code == 1
    assert "missing: no such file" in messages
    assert "truncated: size 1" in messages or "altered: " in messages


@pytest.fixture
def restored(databases: Databases) -> Iterator[str]:
    name = databases.create()
    yield databases.url(name)
    databases.drop(name)


def test_a_copy_in_another_bucket_is_a_backup(server: S3Server, env: dict[str, str], home: Path) -> None:
    given = json.dumps(payload(home))
    assert call(*RUN, "--payload", given, env=env).code == 0
    client, other = server.client(), server.make_bucket()
    for key in keys(server, bucket_of(env), "artifacts/"):
        client.copy_object(Bucket=other, Key=f"backup/{key}", CopySource={"Bucket": bucket_of(env), "Key": key})
    client.delete_bucket(Bucket=bucket_of(env))  # the first bucket is lost
    there = env | {"ORCHESTRATOR_ARTIFACT_URL": f"s3://{other}/backup/artifacts"}
    proof = call("audit", "verify", "--json", env=there)
    assert (proof.code, proof.document["findings"]) == (0, []), proof.err
    run_id = call(*RUN, "--payload", given, env=there).document["id"]
    steps = call("steps", run_id, "--json", env=there).document["steps"]
    assert {step["hitReason"] for step in steps} == {"cache"}


@pytest.mark.parametrize("executor", ["thread", "process"])
def test_a_server_that_stops_during_a_run_costs_no_attempt(
    server: S3Server, env: dict[str, str], home: Path, programs: ExitStack, executor: str
) -> None:
    work = programs.enter_context(Program("dev", *SERVE, env=env | {"ORCHESTRATOR_EXECUTOR": executor}))
    address = work.ready()
    with Client(address) as client:
        given = payload(home, gate=str(home / "gate"))
        run_id = client.trigger("chain.v1", given)["runId"]
        eventually(lambda: started(list(client.history(run_id))).get("second"), what=work.err)
        server.kill()
        (home / "gate").touch()  # the second step now stores its artifact, and cannot
        stops = "worker cannot execute steps and stops claiming runs"
        eventually(lambda: stops in work.err, what="it noticed", shows=lambda: work.err)
        artifact = client.artifacts(run_id)[0]["id"]
        answer = httpx.get(f"{address}/api/v1/artifacts/{artifact}/content", timeout=60)
        assert (answer.status_code, answer.json()["error"]) == (503, "ARTIFACT_STORE_UNAVAILABLE")
        assert answer.headers["Retry-After"] == "1"
        assert server.url not in answer.text, "the place of the store is not for callers"
        server.start()
        assert client.wait(run_id, timeout=90)["status"] == "completed"
        history = list(client.history(run_id))
        assert "StepFailed" not in [event["type"] for event in history], "it was not the skill's fault"
        assert client.content(artifact) == b"first"
    assert "worker can execute steps again" in work.err
    assert work.stop() == 0


def test_downloads_are_redirected_to_the_bucket_and_verified(
    server: S3Server, env: dict[str, str], home: Path, programs: ExitStack
) -> None:
    settings = {"ORCHESTRATOR_ARTIFACT_REDIRECT_SECONDS": "60", "ORCHESTRATOR_AUTH": "keys"}
    made = {
        tenant: call("keys", "create", "x", "--role", "operator", "--tenant", tenant, "--json", env=env).document["key"]
        for tenant in ("default", "other")
    }
    work = programs.enter_context(Program("dev", *SERVE, env=env | settings))
    address = work.ready()
    with Client(address, key=made["default"]) as client:
        run = client.wait(client.trigger("chain.v1", payload(home))["runId"], timeout=90)
        (artifact,) = client.artifacts(run["id"], step_id="first")
        path = f"{address}/api/v1/artifacts/{artifact['id']}/content"
        mine = {"Authorization": f"Bearer {made['default']}"}
        answer = httpx.get(path, headers=mine)
        assert (answer.status_code, answer.headers["ETag"]) == (307, f'"{artifact["contentHash"]}"')
        location = answer.headers["Location"]
        assert location.startswith(f"{server.url}/{bucket_of(env)}/artifacts/default/sha256/")
        fetched = httpx.get(location)
        assert (fetched.content, fetched.headers["Content-Type"]) == (b"first", "text/plain")
        assert fetched.headers["Content-Disposition"] == 'attachment; filename="first.txt"'
        assert httpx.get(path, headers=mine | {"If-None-Match": answer.headers["ETag"]}).status_code == 304
        assert httpx.get(path, headers={"Authorization": f"Bearer {made['other']}"}).status_code == 404
        assert httpx.get(location.replace("X-Amz-Expires=60", "X-Amz-Expires=3600")).status_code == 403
        assert client.content(artifact["id"]) == b"first"
        client.download(artifact["id"], home / "first.txt")
        assert (home / "first.txt").read_bytes() == b"first"
        key = location.partition(f"{bucket_of(env)}/")[2].partition("?")[0]
        server.client().put_object(Bucket=bucket_of(env), Key=key, Body=b"FIRST")
        with pytest.raises(ContentDamaged):
            client.content(artifact["id"])
        server.client().delete_object(Bucket=bucket_of(env), Key=key)
        with pytest.raises(ArtifactGone):
            client.content(artifact["id"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "the S3 server refused access to bucket '{bucket}'"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "cannot reach the S3 server of bucket '{bucket}'"),
        (
            {"ORCHESTRATOR_ARTIFACT_URL": "s3://no-such-bucket/x"},
            "bucket 'no-such-bucket' does not exist: create it, or correct the s3:// URL",
        ),
    ],
    ids=["credentials", "endpoint", "bucket"],
)
def test_what_is_wrong_with_the_store_is_one_line(env: dict[str, str], changes: dict[str, str], message: str) -> None:
    done = call("artifacts", "prune", "--older-than", "0s", env=env | changes)
    assert done.code == 1
    lines = [line for line in done.err.splitlines() if not line.startswith("{")]
    assert len(lines) == 1, done.err
    assert lines[0].startswith(f"error: {message.format(bucket=bucket_of(env))}"), done.err
    assert env["AWS_SECRET_ACCESS_KEY"] not in done.err
