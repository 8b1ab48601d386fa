"""Streams that verify at their end, and stored files that nobody changes by mistake."""

import os
from pathlib import Path
from uuid import uuid4

import pytest

from orchestrator.artifacts import ArtifactGone, ArtifactRejected, ArtifactStore
from orchestrator.artifacts.blobs import CHUNK_BYTES


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path / "store") if request.param == "file" else f"memory://{uuid4().hex}")


@pytest.fixture
def local(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path / "store"))


class TestVerifiedStream:
    @pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, 3 * CHUNK_BYTES + 7])
    def test_bytes_of_any_size_are_passed_on(self, store: ArtifactStore, size: int) -> None:
        content = os.urandom(size)
        made = store.put_bytes("acme", content, type="x")
        with store.open_verified(made, "acme") as stream:
            assert stream.read() == content
        with store.open_verified(made, "acme") as stream:
            assert b"".join(iter(lambda: stream.read(100_003), b"")) == content

    @pytest.mark.parametrize("damage", [b"", b"short", b"x" * 3 * CHUNK_BYTES + b"?", b"x" * 3 * CHUNK_BYTES + b"yz"])
    def test_the_read_that_reaches_the_end_finds_damage(self, local: ArtifactStore, damage: bytes) -> None:
        made = local.put_bytes("acme", b"x" * 3 * CHUNK_BYTES + b"y", type="x")
        path = local.local_path(made)
        assert path is not None
        path.chmod(0o600)
        path.write_bytes(damage)
        with local.open_verified(made, "acme") as stream:
            if len(damage) > CHUNK_BYTES:
                assert stream.read(10) == b"x" * 10, "not before the end"
            with pytest.raises(ArtifactGone, match="altered"):
                stream.read()

    def test_the_file_is_closed_with_the_stream(self, local: ArtifactStore) -> None:
        made = local.put_bytes("acme", b"x", type="x")
        before = len(list(Path("/dev/fd").iterdir()))
        local.open_verified(made, "acme").close()
        assert len(list(Path("/dev/fd").iterdir())) == before

    def test_another_tenant_is_refused(self, store: ArtifactStore) -> None:
        made = store.put_bytes("acme", b"x", type="x")
        for ask in (store.open_verified, store.read_only_path):
            with pytest.raises(ArtifactRejected, match="does not belong to tenant other"):
                ask(made, "other")


class TestReadOnly:
    def test_stored_files_cannot_be_changed_by_mistake(self, local: ArtifactStore, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"file")
        for made in (local.put_bytes("acme", b"x", type="x"), local.put_file("acme", tmp_path / "file", type="x")):
            path = local.read_only_path(made, "acme")
            assert path is not None
            assert path.stat().st_mode & 0o777 == 0o400

    def test_a_file_that_anybody_may_change_is_not_handed_out(self, local: ArtifactStore) -> None:
        made = local.put_bytes("acme", b"x", type="x")
        path = local.local_path(made)
        assert path is not None
        path.chmod(0o600)  # such as a copy that did not keep the mode
        assert local.read_only_path(made, "acme") is None

    def test_an_altered_file_is_not_handed_out(self, local: ArtifactStore) -> None:
        made = local.put_bytes("acme", b"x", type="x")
        path = local.local_path(made)
        assert path is not None
        path.chmod(0o600)
        path.write_bytes(b"y")
        path.chmod(0o400)
        with pytest.raises(ArtifactGone, match="altered"):
            local.read_only_path(made, "acme")

    def test_elsewhere_there_is_no_path(self) -> None:
        store = ArtifactStore(f"memory://{uuid4().hex}")
        assert store.read_only_path(store.put_bytes("acme", b"x", type="x"), "acme") is None
