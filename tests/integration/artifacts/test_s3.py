"""Artifacts on a real S3 server: the suite of every store, large files, and what only S3 has."""

import os
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from orchestrator.artifacts import ArtifactStore
from orchestrator.artifacts.opened import open_blobs
from orchestrator.artifacts.s3 import PART_BYTES
from tests.s3 import S3Server
from tests.unit.artifacts.suite import StoreSuite, paths, put

LARGE = 200 << 20
_MEASURE = """
import resource, sys
from orchestrator.artifacts import ArtifactStore
store = ArtifactStore(sys.argv[1])
store.read(store.put_bytes("acme", b"warm", type="x"))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
made = store.put_file("acme", sys.argv[2], type="x")
assert store.fault(made) is None
with store.open_verified(made, "acme") as file:
    while file.read(1 << 20):
        pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, made.content_hash)
"""


@pytest.fixture
def store(s3_url: str) -> ArtifactStore:
    return ArtifactStore(s3_url)


@pytest.fixture
def objects(s3_server: S3Server, s3_bucket: str) -> Any:
    return s3_server.client()


def uploads(client: Any, bucket: str) -> list[str]:
    return [found["Key"] for found in client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])]


class TestS3(StoreSuite):
    """The same tests as for files and memory."""


def test_a_large_file_needs_little_memory(s3_url: str, tmp_path: Path) -> None:
    source = tmp_path / "large"
    block, digest = os.urandom(1 << 20), sha256()
    with source.open("wb") as file:
        for number in range(LARGE >> 20):
            piece = number.to_bytes(8, "big") + block[8:]
            digest.update(piece)
            file.write(piece)
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, s3_url, str(source)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    grown, content_hash = done.stdout.split()
    assert content_hash == digest.hexdigest()
    assert int(grown) < 64 << 10, f"{int(grown) >> 10} MB for {LARGE >> 20} MB"


@pytest.mark.parametrize("size", [PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES])
def test_files_around_the_size_of_a_part_are_whole(store: ArtifactStore, tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "file").write_bytes(content)
    made = store.put_file("acme", tmp_path / "file", type="x")
    assert (made.size_bytes, store.read(made) == content) == (size, True)


def test_an_upload_that_breaks_off_leaves_no_part(store: ArtifactStore, s3_bucket: str, objects: Any) -> None:
    seen: list[list[str]] = []

    def broken() -> Iterator[bytes]:
        yield bytes(2 * PART_BYTES)
        seen.append(uploads(objects, s3_bucket))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        put(store, broken())
    assert len(seen[0]) == 1, "it had begun"
    assert uploads(objects, s3_bucket) == []
    assert paths(store) == []


def test_a_file_that_changes_while_it_is_stored_is_not_stored(
    store: ArtifactStore, tmp_path: Path, s3_bucket: str, objects: Any
) -> None:
    source = tmp_path / "file"
    source.write_bytes(bytes(3 * PART_BYTES))
    inner = store.blobs

    def path_of(content_hash: str) -> str:  # called between the two times that the file is read
        source.write_bytes(bytes(3 * PART_BYTES - 1) + b"x")
        return f"{inner.root}/acme/sha256/{content_hash}"

    with pytest.raises(OSError, match="changed while it was stored"):
        inner.put_file(source, "", path_of)
    assert (uploads(objects, s3_bucket), paths(store)) == ([], [])


def test_a_file_that_is_there_is_not_sent_again(
    store: ArtifactStore, tmp_path: Path, s3_bucket: str, objects: Any
) -> None:
    (tmp_path / "file").write_bytes(os.urandom(PART_BYTES + 1))
    made = store.put_file("acme", tmp_path / "file", type="x")
    key = made.uri.removeprefix(f"s3://{s3_bucket}/")
    before = objects.head_object(Bucket=s3_bucket, Key=key)["LastModified"]
    store.put_file("acme", tmp_path / "file", type="x")
    assert objects.head_object(Bucket=s3_bucket, Key=key)["LastModified"] == before


def test_folders_with_many_files_are_listed_whole(s3_url: str) -> None:
    blobs = open_blobs(s3_url)
    for number in range(1003):
        blobs.create(f"{blobs.root}/many/{number}", b"")
    assert len({file.name for file in blobs.files(f"{blobs.root}/many")}) == 1003


def test_a_bucket_can_be_the_root(s3_server: S3Server, s3_url: str) -> None:
    store = ArtifactStore(f"s3://{s3_server.make_bucket()}")
    made = store.put_bytes("acme", b"x", type="x")
    assert store.read(made) == b"x"
    assert paths(store) == [f"/acme/sha256/{made.content_hash[:2]}/{made.content_hash[2:]}"]


@pytest.mark.parametrize("url", ["s3://", "s3:///x", "s3://a", "s3://bucket?x=1", "s3://bucket/x#y"])
def test_another_form_of_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="expected s3://bucket"):
        open_blobs(url)


def test_a_store_that_was_copied_to_another_bucket_has_everything(
    store: ArtifactStore, s3_server: S3Server, s3_bucket: str, objects: Any
) -> None:
    made = store.put_bytes("acme", b"kept", type="x")
    other = s3_server.make_bucket()
    key = made.uri.removeprefix(f"s3://{s3_bucket}/")
    prefix = store.blobs.root.partition("/")[2]
    objects.copy_object(
        Bucket=other, Key=f"copy{key.removeprefix(prefix)}", CopySource={"Bucket": s3_bucket, "Key": key}
    )
    assert ArtifactStore(f"s3://{other}/copy").read(made, "acme") == b"kept"


def test_a_forked_process_has_connections_of_its_own(store: ArtifactStore) -> None:
    made = store.put_bytes("acme", b"x" * 99, type="x")
    child = os.fork()
    if child == 0:
        os._exit(0 if store.read(made) == b"x" * 99 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert store.read(made) == b"x" * 99
