"""The store: the same bytes once, all or nothing, and no name that leads elsewhere."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.artifacts import ArtifactGone, ArtifactRejected, ArtifactStore
from orchestrator.artifacts.names import tenant_folder
from orchestrator.domain.output import Artifact, Output
from tests.unit.artifacts.suite import StoreSuite, paths


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path / "store") if request.param == "file" else f"memory://{uuid4().hex}")


@pytest.fixture
def local(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path / "store"))


def test_uri_can_be_opened_by_anyone(store: ArtifactStore) -> None:
    made = store.put_bytes("acme", b"la la", type="x")
    with fsspec.open(made.uri) as file:
        assert file.read() == b"la la"


def test_same_bytes_are_not_written_again(local: ArtifactStore) -> None:
    path = local.local_path(local.put_bytes("acme", b"same", type="x"))
    assert path is not None
    before = path.stat()
    local.put_bytes("acme", b"same", type="x")
    assert path.stat().st_ino == before.st_ino
    assert path.stat().st_mtime_ns > before.st_mtime_ns, "but they count as just written"


def test_local_path_is_there_for_local_stores_only(local: ArtifactStore) -> None:
    path = local.local_path(local.put_bytes("acme", b"x", type="x"))
    assert path is not None
    assert path.read_bytes() == b"x"
    remote = ArtifactStore(f"memory://{uuid4().hex}")
    assert remote.local_path(remote.put_bytes("acme", b"x", type="x")) is None


def test_local_files_have_no_address_for_downloads(local: ArtifactStore) -> None:
    made = local.put_bytes("acme", b"x", type="x")
    headers = {"Content-Type": "text/plain", "Content-Disposition": "attachment"}
    assert local.signed_url(made, "acme", 60, headers) is None
    with pytest.raises(ArtifactRejected, match="does not belong to tenant other"):
        local.signed_url(made, "other", 60, headers)


class TestEveryStore(StoreSuite):
    """On local files and in memory; see tests/integration/artifacts for S3."""


class TestAtomicity:
    @pytest.mark.parametrize("damage", [b"", b"tr", b"altered!"])
    def test_storing_again_heals_what_was_damaged(self, local: ArtifactStore, damage: bytes) -> None:
        made = local.put_bytes("acme", b"original", type="x")
        path = local.local_path(made)
        assert path is not None
        path.chmod(0o600)
        path.write_bytes(damage)
        assert local.put_bytes("acme", b"original", type="x") == made
        assert local.read(made) == b"original"


class TestNames:
    @pytest.mark.parametrize(
        "filename",
        [
            "../x",
            "a/../../x",
            "/etc/passwd",
            "a\0b",
            "a\nb",
            "x" * 256,
            "",
            ".",
            "..",
            "a//b",
            "a/./b",
            "..\\x",
            "C:x",
            "\ud800",
        ],
    )
    def test_trick_is_refused(self, store: ArtifactStore, filename: str) -> None:
        with pytest.raises(ArtifactRejected, match="filename") as refused:
            store.put_bytes("acme", b"x", type="x", filename=filename)
        assert isinstance(refused.value, ValueError)
        assert refused.value.code == "ARTIFACT_REJECTED"
        assert paths(store) == []

    @pytest.mark.parametrize("filename", ["a.txt", "sub/a.txt", "…ünï.wav", "x" * 255, "..a", "a b"])
    def test_harmless_name_is_taken(self, store: ArtifactStore, filename: str) -> None:
        assert store.put_bytes("acme", b"x", type="x", filename=filename).filename == filename

    @pytest.mark.parametrize("artifact_type", ["", "a\nb", "x" * 256])
    def test_bad_type_is_refused(self, store: ArtifactStore, artifact_type: str) -> None:
        with pytest.raises(ArtifactRejected, match="type"):
            store.put_bytes("acme", b"x", type=artifact_type)

    def test_metadata_must_be_json(self, store: ArtifactStore) -> None:
        with pytest.raises(ArtifactRejected, match=r"metadata: \$\.loud"):
            store.put_bytes("acme", b"x", type="x", metadata={"loud": float("nan")})

    @pytest.mark.parametrize("tenant", ["../other", "..", ".", "a/b", "/abs", "a\0b", "ü", "a b"])
    def test_tenant_stays_in_its_folder(self, local: ArtifactStore, tenant: str) -> None:
        path = local.local_path(local.put_bytes(tenant, b"x", type="x"))
        assert path is not None
        assert path.parents[3] == Path(local.url)

    @pytest.mark.parametrize("tenant", ["", "x" * 256])
    def test_impossible_tenant_is_refused(self, local: ArtifactStore, tenant: str) -> None:
        with pytest.raises(ArtifactRejected, match="tenant"):
            local.put_bytes(tenant, b"x", type="x")

    @given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))  # of 12 characters each, at most
    def test_different_tenants_have_different_folders(self, one: str, other: str) -> None:
        assert (tenant_folder(one) == tenant_folder(other)) == (one == other)
        assert not {"/", "\0"} & set(tenant_folder(one))
        assert not tenant_folder(one).startswith(".")


class TestOutside:
    def test_uri_is_registered_without_being_fetched(self, store: ArtifactStore) -> None:
        made = store.register_uri("acme", "https://cdn.test/a.png", type="image/png", filename="a.png")
        assert (made.uri, made.content_hash, made.size_bytes) == ("https://cdn.test/a.png", "", -1)
        assert store.register_uri("acme", "https://cdn.test/b.png", type="image/png").id != made.id

    @pytest.mark.parametrize(
        "uri",
        [
            "file:///etc/passwd",
            "/etc/passwd",
            "memory://x",
            "http://",
            "https:///x",
            "ftp://a/b",
            "http://a b",
            "http://a/\n",
            "http://[",
            "http://a:99999/",
            "http://a/" + "x" * 9000,
        ],
    )
    def test_other_uris_are_refused(self, store: ArtifactStore, uri: str) -> None:
        with pytest.raises(ArtifactRejected, match="http"):
            store.register_uri("acme", uri, type="x")

    def test_hash_must_be_one(self, store: ArtifactStore) -> None:
        with pytest.raises(ArtifactRejected, match="contentHash"):
            store.register_uri("acme", "https://cdn.test/a", type="x", content_hash="md5")

    @pytest.mark.parametrize("size", [-2, 2**53, 10**400, 1.5, True, "7", None])
    def test_uri_with_a_size_that_is_none_is_refused(self, store: ArtifactStore, size: Any) -> None:
        with pytest.raises(ArtifactRejected, match="size must be an integer from -1"):
            store.register_uri("acme", "https://cdn.test/a", type="x", size_bytes=size)

    def test_bytes_of_others_cannot_be_read(self, local: ArtifactStore, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("secret")
        root = f"file://{tmp_path / 'store'}"
        for uri in (f"file://{tmp_path / 'secret'}", f"{root}/../secret", f"{root}-other/x", "https://cdn.test/a"):
            stranger = Artifact("id", "x", uri, "", -1)
            with pytest.raises(ArtifactRejected, match="not in this store"):
                local.open(stranger)
            assert local.local_path(stranger) is None


class TestMoved:
    def test_a_store_that_moved_has_what_it_had(self, tmp_path: Path) -> None:
        made = ArtifactStore(str(tmp_path / "old")).put_bytes("a/b", b"x", type="x")
        (tmp_path / "old").rename(tmp_path / "new")
        moved = ArtifactStore(str(tmp_path / "new"))
        assert (moved.fault(made), moved.read(made, "a/b")) == (None, b"x")

    def test_a_store_of_another_kind_has_what_was_copied_there(self, local: ArtifactStore) -> None:
        made = local.put_bytes("acme", b"x", type="x")
        elsewhere = ArtifactStore(f"memory://{uuid4().hex}")
        assert elsewhere.fault(made) == "missing: no such file"
        elsewhere.put_bytes("acme", b"x", type="y")
        assert elsewhere.read(made, "acme") == b"x"

    def test_a_uri_does_not_lead_to_another_tenant(self, local: ArtifactStore) -> None:
        made = local.put_bytes("acme", b"x", type="x")
        moved = replace(made, uri=made.uri.replace(str(local.blobs.root), "/elsewhere"))
        assert local.read(moved, "acme") == b"x"
        with pytest.raises(ArtifactRejected, match="does not belong to tenant other"):
            local.read(moved, "other")

    @pytest.mark.parametrize("tenant", ["..", ".", ".hidden", "a/b", "%2e%2e"])
    def test_a_uri_with_a_folder_that_no_tenant_has_is_not_followed(self, local: ArtifactStore, tenant: str) -> None:
        made = local.put_bytes("acme", b"x", type="x")
        tricked = replace(made, uri=f"file:///{tenant}/sha256/{made.content_hash[:2]}/{made.content_hash[2:]}")
        if tenant == "a/b":  # the folder `b`, of another tenant
            assert local.fault(tricked) == "missing: no such file"
            return
        with pytest.raises(ArtifactRejected, match="not in this store"):
            local.open(tricked)

    def test_a_uri_of_other_content_is_not_followed(self, local: ArtifactStore) -> None:
        made, other = (local.put_bytes("acme", content, type="x") for content in (b"x", b"y"))
        with pytest.raises(ArtifactRejected, match="not in this store"):
            local.open(replace(made, uri=other.uri))


class TestGone:
    def test_missing_bytes_are_said_to_be_gone(self, local: ArtifactStore) -> None:
        made = local.put_bytes("acme", b"x", type="x")
        path = local.local_path(made)
        assert path is not None
        path.unlink()
        with pytest.raises(ArtifactGone, match="missing"):
            local.read(made)

    def test_altered_bytes_are_never_returned(self, local: ArtifactStore) -> None:
        made = local.put_bytes("acme", b"x", type="x")
        path = local.local_path(made)
        assert path is not None
        path.chmod(0o600)
        path.write_bytes(b"y")
        with pytest.raises(ArtifactGone, match="altered"):
            local.read(made)


class TestSpill:
    @pytest.mark.parametrize(("length", "spills"), [(98, False), (99, True)])
    def test_limit_is_that_of_the_json(self, length: int, spills: bool) -> None:
        store = ArtifactStore(f"memory://{uuid4().hex}", spill_bytes=100)
        assert (store.spill("acme", Output("x" * length)).data_ref is not None) is spills
