"""An S3 server that stops, hangs, refuses or has no bucket: each is one error that names the cause, in bounded time."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.folders import open_folder
from orchestrator.artifacts import ArtifactStore, StoreUnavailable, verify
from orchestrator.artifacts.outage import Outage
from orchestrator.artifacts.s3_calls import READ_SECONDS
from orchestrator.artifacts.verify import examine
from orchestrator.domain.output import Artifact
from tests.s3 import S3Server
from tests.waiting import eventually


@pytest.fixture(scope="module")
def own_server() -> Iterator[S3Server]:
    with open_folder() as folder, S3Server(folder) as server:
        yield server


@pytest.fixture
def own(own_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """A server that a test may stop or pause."""
    for name, value in own_server.environment.items():
        monkeypatch.setenv(name, value)
    yield own_server
    own_server.start()


@pytest.fixture
def store(own: S3Server) -> ArtifactStore:
    return ArtifactStore(f"s3://{own.make_bucket()}/x")


@pytest.fixture
def made(store: ArtifactStore) -> Artifact:
    return store.put_bytes("acme", b"kept", type="x")


def test_a_server_that_is_stopped_is_not_a_missing_artifact(
    own: S3Server, store: ArtifactStore, made: Artifact, tmp_path: Path
) -> None:
    own.kill()
    (tmp_path / "large").write_bytes(bytes(20 << 20))
    for call in (
        lambda: store.read(made),
        lambda: store.fault(made),
        lambda: store.put_bytes("acme", b"new", type="x"),
        lambda: store.put_file("acme", tmp_path / "large", type="x"),
        lambda: store.blobs.create(f"{store.blobs.root}/one", b"x"),
        lambda: store.blobs.discard(f"{store.blobs.root}/one"),
        lambda: list(store.blobs.files(store.blobs.root)),
    ):
        with pytest.raises(StoreUnavailable, match=r"cannot reach the S3 server of bucket .*127\.0\.0\.1") as raised:
            call()
        assert "\n" not in str(raised.value)
    (verdict,) = examine(store, [made])
    assert verdict is not None
    assert not verdict.checked, "nothing is known about the artifact"
    own.start()
    assert eventually(lambda: verify(store, made) is None)


def test_a_server_that_hangs_is_given_up_in_bounded_time(
    own: S3Server, store: ArtifactStore, made: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    store = ArtifactStore(store.url)
    own.pause()
    begun = time.monotonic()
    with pytest.raises(StoreUnavailable, match=r"cannot reach .*[Tt]imeout"):
        store.read(made)
    assert time.monotonic() - begun < READ_SECONDS + 5
    own.resume()
    assert store.read(made) == b"kept"


def test_a_server_that_dies_in_the_middle_of_an_answer_is_unavailable(own: S3Server, store: ArtifactStore) -> None:
    made = store.put_bytes("acme", os.urandom(64 << 20), type="x")
    with store.open(made) as file:
        file.read(1)
        own.kill()
        with pytest.raises(StoreUnavailable, match="cannot reach"):
            file.read()


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("AWS_SECRET_ACCESS_KEY", "wrong", "SignatureDoesNotMatch"),
        ("AWS_ACCESS_KEY_ID", "nobody", "InvalidAccessKeyId"),
    ],
)
def test_wrong_credentials_are_named(
    store: ArtifactStore, made: Artifact, monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    monkeypatch.setenv(name, value)
    other = ArtifactStore(store.url)
    with pytest.raises(StoreUnavailable, match=f"refused access to bucket .*{reason}.*check AWS_ACCESS_KEY_ID"):
        other.blobs.put([b"x"], f"{other.blobs.root}/x", "")
    with pytest.raises(StoreUnavailable, match="refused access"):
        other.put_bytes("acme", b"x", type="x")
    with pytest.raises(StoreUnavailable, match="refused access"):
        other.fault(made)


def test_missing_credentials_are_named(store: ArtifactStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(StoreUnavailable, match=r"no credentials for bucket .*set AWS_ACCESS_KEY_ID"):
        ArtifactStore(store.url).put_bytes("acme", b"x", type="x")


def test_a_bucket_that_was_deleted_is_named(own: S3Server, store: ArtifactStore, made: Artifact) -> None:
    own.client().delete_bucket(Bucket=store.blobs.root.partition("/")[0])
    missing = "bucket .* does not exist: create it, or correct the s3:// URL"
    with pytest.raises(StoreUnavailable, match=missing):
        store.put_bytes("acme", b"x", type="x")
    with pytest.raises(StoreUnavailable, match=missing):
        ArtifactStore(store.url).fault(made)
    with pytest.raises(StoreUnavailable, match=missing):
        ArtifactStore(store.url).blobs.probe()


def test_an_outage_ends_when_the_store_answers_again(own: S3Server, store: ArtifactStore) -> None:
    own.kill()
    with pytest.raises(StoreUnavailable) as raised:
        store.put_bytes("acme", b"x", type="x")
    assert store.outage() is None
    store.begin_outage(store.outage_in(raised.value) or "")
    begun = time.monotonic()
    assert store.outage() is not None
    assert time.monotonic() - begun < 0.05, "nobody waits for the store"
    own.start()
    eventually(lambda: store.outage() is None, 30, "the store was found to answer")


def test_a_probe_with_a_fault_of_its_own_ends_no_outage() -> None:
    def probe() -> None:
        raise RuntimeError("broken probe")

    outage = Outage(probe)
    outage.begin("unreachable")
    eventually(outage.reason, 10, "the probe was made", right=lambda reason: reason == "RuntimeError: broken probe")
