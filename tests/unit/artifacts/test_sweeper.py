"""The sweeper: removes what nothing names and is old, and nothing else."""

import os
import time
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import pytest

from orchestrator.artifacts import ArtifactStore
from orchestrator.artifacts.blobs import written_at
from orchestrator.artifacts.sweeper import Sweep, Sweeper
from orchestrator.domain.output import Artifact

DAY = 86_400.0


def put(store: ArtifactStore, content: bytes, tenant: str = "acme") -> Artifact:
    return store.put_bytes(tenant, content, type="x")


def local(tmp_path: Path, content: bytes) -> tuple[ArtifactStore, Path]:
    store = ArtifactStore(str(tmp_path / "store"))
    path = store.local_path(put(store, content))
    assert path is not None
    os.utime(path, (time.time() - DAY, time.time() - DAY))
    return store, path


def test_what_is_stored_again_counts_as_new(tmp_path: Path) -> None:
    store, path = local(tmp_path, b"twice")
    inode = path.stat().st_ino
    put(store, b"twice")
    assert path.stat().st_ino == inode, "it is not written a second time"
    assert Sweeper(store, "acme").sweep(set(), time.time() - 60) == Sweep(too_new=1)
    assert path.exists()


def test_an_object_that_is_stored_again_is_written_again_once_it_is_old() -> None:
    store = ArtifactStore(f"memory://{uuid4().hex}")
    put(store, b"twice")
    (file,) = store.blobs.files(f"{store.blobs.root}/acme/sha256/{sha256(b'twice').hexdigest()[:2]}")
    put(store, b"twice")
    assert [file] == list(store.blobs.files(file.path.rpartition("/")[0])), "new enough as it is"


def test_what_gets_a_new_time_while_it_is_checked_is_moved_back(tmp_path: Path) -> None:
    store, path = local(tmp_path, b"raced")
    os.utime(path)
    assert not store.blobs.remove_older(str(path), str(tmp_path / "store/acme/leaving/x"), time.time() - 60)
    assert path.read_bytes() == b"raced"
    assert list((tmp_path / "store/acme/leaving").iterdir()) == []


def test_what_a_killed_sweep_had_moved_aside_is_put_back(tmp_path: Path) -> None:
    store, path = local(tmp_path, b"needed")
    aside = tmp_path / "store/acme/leaving" / sha256(b"needed").hexdigest()
    aside.parent.mkdir()
    path.replace(aside)
    named = {sha256(b"needed").digest()}
    assert Sweeper(store, "acme").sweep(named, time.time()) == Sweep(named=1)
    assert path.read_bytes() == b"needed"
    path.replace(aside)
    put(store, b"needed")  # written again before the next sweep
    assert Sweeper(store, "acme").sweep(named, time.time()) == Sweep(named=1)
    assert not aside.exists()


def test_other_files_in_the_store_are_left_alone(tmp_path: Path) -> None:
    store, path = local(tmp_path, b"x")
    strange = path.parent / "notes.txt"
    strange.write_text("of the operator")
    os.utime(strange, (1, 1))
    assert Sweeper(store, "acme").sweep(set(), time.time()).removed == 1
    assert strange.exists()


@pytest.mark.parametrize(
    "info",
    [
        {"mtime": 86400.0},
        {"updated": "1970-01-02T00:00:00Z", "mtime": None},
        {"LastModified": datetime(1970, 1, 2, tzinfo=UTC)},
    ],
)
def test_file_systems_say_in_their_own_ways_when_a_file_was_written(info: dict[str, object]) -> None:
    assert written_at(info) == DAY
    assert written_at({"name": "x"}) is None
