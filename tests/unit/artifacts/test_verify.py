"""Verification: whatever happened to the bytes is noticed, and files left alone are hashed once."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import fsspec
import pytest

from orchestrator.artifacts import ArtifactStore, verify, verify_all
from orchestrator.artifacts.blobs import Blobs
from orchestrator.domain.output import Artifact


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path))


def path_of(store: ArtifactStore, artifact: Artifact) -> Path:
    path = store.local_path(artifact)
    assert path is not None
    return path


def test_intact_is_none(store: ArtifactStore) -> None:
    assert verify(store, store.put_bytes("acme", b"original", type="x")) is None


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.unlink(), "missing"),
        (lambda path: path.write_bytes(b"ori"), "truncated: size 3 instead of 8"),
        (lambda path: path.write_bytes(b"original and more"), "altered: size 17 instead of 8"),
        (lambda path: path.write_bytes(b"0riginal"), "altered: hash"),
        (lambda path: (path.unlink(), path.mkdir()), "missing"),
    ],
)
def test_damage_is_noticed(store: ArtifactStore, damage: Callable[[Path], object], reason: str) -> None:
    made = store.put_bytes("acme", b"original", type="x")
    assert verify(store, made) is None
    path_of(store, made).chmod(0o600)
    damage(path_of(store, made))
    assert (verify(store, made) or "").startswith(reason)


def test_damage_is_noticed_after_the_hash_was_remembered(tmp_path: Path) -> None:
    blobs = Blobs(str(tmp_path), settled_seconds=0.05)
    path, content_hash, size = blobs.write([b"original"], str(tmp_path))
    time.sleep(0.1)  # the time itself is the subject: the file settles
    assert blobs.fault(path, size, content_hash) is None
    stamp = Path(path).stat().st_mtime_ns
    Path(path).write_bytes(b"0riginal")
    os.utime(path, ns=(stamp, stamp))  # same size, same mtime, same inode
    time.sleep(0.1)  # the time itself is the subject: the file settles
    assert (blobs.fault(path, size, content_hash) or "").startswith("altered: hash")


class CountingBlobs(Blobs):
    reads = 0

    def open(self, path: str) -> BinaryIO:
        self.reads += 1
        return super().open(path)


def test_file_left_alone_is_hashed_once(tmp_path: Path) -> None:
    blobs = CountingBlobs(str(tmp_path), settled_seconds=0.05)
    path, content_hash, size = blobs.write([b"original"], str(tmp_path))
    time.sleep(0.1)  # the time itself is the subject: the file settles
    assert [blobs.fault(path, size, content_hash) for _ in range(5)] == [None] * 5
    assert blobs.reads == 1


def test_file_changed_just_now_is_hashed_each_time(tmp_path: Path) -> None:
    blobs = CountingBlobs(str(tmp_path), settled_seconds=3600)
    path, content_hash, size = blobs.write([b"original"], str(tmp_path))
    assert [blobs.fault(path, size, content_hash) for _ in range(3)] == [None] * 3
    assert blobs.reads == 3


def test_remote_bytes_are_compared_too() -> None:
    store = ArtifactStore(f"memory://{uuid4().hex}")
    made = store.put_bytes("acme", b"original", type="x")
    assert verify(store, made) is None
    fsspec.filesystem("memory").pipe_file(made.uri, b"0riginal")
    assert (verify(store, made) or "").startswith("altered")
    fsspec.filesystem("memory").rm_file(made.uri)
    assert (verify(store, made) or "").startswith("missing")


def test_artifact_of_another_store_is_out_of_reach(store: ArtifactStore) -> None:
    assert (verify(store, Artifact("id", "x", "file:///elsewhere", "00", 1)) or "").startswith("unreachable")


def test_batch_lists_what_is_at_fault(store: ArtifactStore) -> None:
    made = [store.put_bytes("acme", bytes([n]), type="x") for n in range(4)]
    path_of(store, made[1]).unlink()
    path_of(store, made[3]).chmod(0o600)
    path_of(store, made[3]).write_bytes(b"?")
    faults = verify_all(store, made)
    assert [artifact for artifact, _ in faults] == [made[1], made[3]]
    assert [reason.split(":")[0] for _, reason in faults] == ["missing", "altered"]
    assert verify_all(store, [made[0], made[2]]) == []
