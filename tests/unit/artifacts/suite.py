"""What every artifact store does, wherever it keeps the bytes. Each kind of store runs it with a fixture `store`."""

import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest

from orchestrator.artifacts import ArtifactGone, ArtifactRejected, ArtifactStore, verify
from orchestrator.artifacts.blobs import CHUNK_BYTES
from orchestrator.artifacts.sweeper import Sweep, Sweeper
from orchestrator.domain.output import Artifact, Output, artifact_id


def paths(store: ArtifactStore) -> list[str]:
    """Return the paths of all files in a store, below its root."""
    return sorted(path.removeprefix(store.blobs.root) for path in _below(store, store.blobs.root))


def _below(store: ArtifactStore, folder: str) -> Iterator[str]:
    yield from (file.path for file in store.blobs.files(folder))
    for name in store.blobs.folders(folder):
        yield from _below(store, f"{folder}/{name}")


def half_of(store: ArtifactStore) -> bytes:
    """Return bytes that are sent before the end of a file is known, where a store sends anything before."""
    return b"half" if store.blobs.is_local else bytes(9 << 20)


def put(store: ArtifactStore, chunks: Iterable[bytes]) -> tuple[str, int]:
    root = store.blobs.root
    return store.blobs.put(chunks, f"{root}/acme/sha256/aa/bb", f"{root}/acme/incoming")


class StoreSuite:
    def test_bytes_come_back_as_they_were(self, store: ArtifactStore) -> None:
        made = store.put_bytes("acme", b"la la", type="audio/wav", filename="bgm.wav", metadata={"bpm": 90})
        content_hash = sha256(b"la la").hexdigest()
        assert made == Artifact(
            artifact_id("acme", content_hash, "audio/wav"),
            "audio/wav",
            made.uri,
            content_hash,
            5,
            "bgm.wav",
            {"bpm": 90},
        )
        assert made.uri.endswith(f"/acme/sha256/{content_hash[:2]}/{content_hash[2:]}")
        assert store.read(made) == b"la la"
        with store.open(made) as file:
            assert file.read(2) == b"la"

    def test_readers_do_not_disturb_each_other(self, store: ArtifactStore) -> None:
        made = store.put_bytes("acme", b"la la", type="x")
        with store.open(made) as one, store.open(made) as other:
            assert (one.read(3), other.read(3), one.read(), other.read()) == (b"la ", b"la ", b"la", b"la")

    def test_file_is_hashed_while_it_is_copied(self, store: ArtifactStore, tmp_path: Path) -> None:
        content = os.urandom(2 * CHUNK_BYTES + 17)
        source = tmp_path / "big.bin"
        source.write_bytes(content)
        made = store.put_file("acme", source, type="x")
        assert (made.content_hash, made.size_bytes, made.filename) == (
            sha256(content).hexdigest(),
            len(content),
            "big.bin",
        )
        assert store.read(made) == content

    def test_same_bytes_are_stored_once(self, store: ArtifactStore, tmp_path: Path) -> None:
        (tmp_path / "copy").write_bytes(b"same")
        first = store.put_bytes("acme", b"same", type="x", filename="a")
        second = store.put_bytes("acme", b"same", type="y", filename="b")
        third = store.put_file("acme", tmp_path / "copy", type="x")
        assert first.uri == second.uri == third.uri
        assert first.id == third.id != second.id
        assert len(paths(store)) == 1

    def test_tenants_do_not_share_files(self, store: ArtifactStore) -> None:
        ours, theirs = store.put_bytes("a", b"same", type="x"), store.put_bytes("b", b"same", type="x")
        assert ours.uri != theirs.uri
        assert ours.id != theirs.id

    def test_many_threads_store_the_same_bytes(self, store: ArtifactStore) -> None:
        with ThreadPoolExecutor(8) as threads:
            made = list(threads.map(lambda _: store.put_bytes("acme", b"same" * 999, type="x"), range(40)))
        assert len(set(map(repr, made))) == 1
        assert len(paths(store)) == 1

    def test_failed_copy_leaves_nothing(self, store: ArtifactStore, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            store.put_file("acme", tmp_path / "absent", type="x")
        assert paths(store) == []

    def test_interrupted_write_leaves_nothing(self, store: ArtifactStore) -> None:
        def half() -> Iterator[bytes]:
            yield half_of(store)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            put(store, half())
        assert paths(store) == []

    def test_half_written_file_is_not_the_artifact(self, store: ArtifactStore) -> None:
        seen: list[list[str]] = []

        def watched() -> Iterator[bytes]:
            yield half_of(store)
            seen.append(paths(store))
            yield b"more"

        put(store, watched())
        assert all("/incoming/" in path for path in seen[0])
        assert paths(store) == ["/acme/sha256/aa/bb"]

    def test_small_data_stays(self, store: ArtifactStore) -> None:
        output = Output({"x": "y" * 1000})
        assert store.spill("acme", output) is output
        assert store.load_data(output) == output.data
        assert paths(store) == []

    def test_large_data_is_stored_by_hash(self, store: ArtifactStore) -> None:
        data = {"b": ["y"] * 20_000, "a": 1.0}
        kept = store.put_bytes("acme", b"x", type="x")
        spilled = store.spill("acme", Output(data, (kept,)))
        assert spilled.data is None
        assert spilled.artifacts == (kept,)
        assert spilled.data_ref is not None
        assert spilled.data_ref.type == "application/json"
        assert store.load_data(spilled) == data

    def test_the_reference_has_the_beginning_of_the_text(self, store: ArtifactStore) -> None:
        output = store.spill("acme", Output({"b": "ö" * 40_000, "a": "\0"}))
        assert output.data_ref is not None
        preview = output.data_ref.metadata["preview"]
        assert store.read(output.data_ref).decode().startswith(preview)
        assert len(preview.encode()) in (1023, 1024)

    def test_equal_data_has_one_reference(self, store: ArtifactStore) -> None:
        one = store.spill("acme", Output({"a": "x" * 40_000, "b": 1}))
        other = store.spill("acme", Output({"b": 1, "a": "x" * 40_000}))
        assert one == other

    def test_what_is_missing_or_altered_is_noticed(self, store: ArtifactStore) -> None:
        made = store.put_bytes("acme", b"original", type="x")
        path = next(file.path for file in store.blobs.files(f"{store.blobs.root}/acme/sha256/{made.content_hash[:2]}"))
        assert verify(store, made) is None
        assert verify(store, made) is None, "also the second time, when the hash is known"
        for damage, reason in ((b"0riginal", "altered: hash"), (b"ori", "truncated: size 3 instead of 8")):
            store.blobs.discard(path)
            store.blobs.put([damage], path, f"{store.blobs.root}/acme/incoming")
            assert (verify(store, made) or "").startswith(reason)
            with pytest.raises(ArtifactGone, match="altered"):
                store.read(made)
            with pytest.raises(ArtifactGone, match="altered"), store.open_verified(made, "acme") as stream:
                stream.read()
        store.blobs.discard(path)
        store.blobs.discard(path)
        assert verify(store, made) == "missing: no such file"
        with pytest.raises(ArtifactGone, match="missing"):
            store.read(made)

    def test_any_part_can_be_read(self, store: ArtifactStore) -> None:
        content = os.urandom(3 * CHUNK_BYTES + 5)
        made = store.put_bytes("acme", content, type="x")
        with store.open(made) as file:
            for start, length in ((2 * CHUNK_BYTES, 7), (0, 3), (len(content) - 4, 9), (CHUNK_BYTES - 1, CHUNK_BYTES)):
                file.seek(start)
                assert file.read(length) == content[start : start + length]
            assert file.seek(0, os.SEEK_END) == len(content)
            assert file.read(1) == b""

    def test_an_empty_file_is_one(self, store: ArtifactStore, tmp_path: Path) -> None:
        (tmp_path / "empty").touch()
        made = store.put_file("acme", tmp_path / "empty", type="x")
        assert made == store.put_bytes("acme", b"", type="x", filename="empty")
        assert (store.read(made), verify(store, made)) == (b"", None)

    def test_another_tenant_cannot_read_it(self, store: ArtifactStore) -> None:
        made = store.put_bytes("acme", b"x", type="x")
        assert store.read(made, "acme") == b"x"
        with pytest.raises(ArtifactRejected, match="does not belong to tenant other"):
            store.read(made, "other")

    def test_a_file_is_created_once(self, store: ArtifactStore) -> None:
        path = f"{store.blobs.root}/acme/outcomes/one"
        assert store.blobs.create(path, b"first")
        assert not store.blobs.create(path, b"second")
        with store.blobs.open(path) as file:
            assert file.read() == b"first"
        assert paths(store) == ["/acme/outcomes/one"]

    def test_of_many_that_create_a_file_one_does(self, store: ArtifactStore) -> None:
        path = f"{store.blobs.root}/acme/outcomes/raced"
        with ThreadPoolExecutor(8) as threads:
            made = list(threads.map(lambda number: store.blobs.create(path, b"%d" % number), range(24)))
        assert sum(made) == 1
        with store.blobs.open(path) as file:
            assert file.read() == b"%d" % made.index(True)

    def test_what_is_named_or_new_or_of_another_tenant_stays(self, store: ArtifactStore) -> None:
        named, unnamed = (store.put_bytes("acme", each, type="x") for each in (b"named", b"unnamed"))
        elsewhere = store.put_bytes("other", b"unnamed", type="x")
        sweeper, kept = Sweeper(store, "acme"), {sha256(b"named").digest()}
        assert sweeper.sweep(kept, time.time() - 60) == Sweep(named=1, too_new=1)
        looked: list[int] = []
        wanted = Sweep(removed=1, removed_bytes=7, named=1)
        assert sweeper.sweep(kept, time.time() + 5, dry_run=True, on_objects=looked.append) == wanted
        assert verify(store, unnamed) is None
        assert looked[-1] == 2
        assert sweeper.sweep(kept, time.time() + 5) == wanted
        faults = [verify(store, each) for each in (named, unnamed, elsewhere)]
        assert faults == [None, "missing: no such file", None]
        assert sweeper.sweep(kept, time.time() + 5) == Sweep(named=1)

    def test_some_can_be_removed_by_their_hashes(self, store: ArtifactStore) -> None:
        first, second = (store.put_bytes("acme", each, type="x") for each in (b"first", b"second"))
        hashes = [first.content_hash, first.content_hash, sha256(b"never seen").hexdigest()]
        assert Sweeper(store, "acme").remove(hashes, time.time() - 60) == Sweep(too_new=1)
        assert Sweeper(store, "acme").remove(hashes, time.time() + 5) == Sweep(removed=1, removed_bytes=5)
        assert [verify(store, each) for each in (first, second)] == ["missing: no such file", None]

    def test_what_is_being_written_stays(self, store: ArtifactStore) -> None:
        swept: list[Sweep] = []

        def watched() -> Iterator[bytes]:
            yield half_of(store)
            swept.append(Sweeper(store, "acme").sweep(set(), time.time() + 86_400))
            yield b"more"

        content_hash, size = put(store, watched())
        assert swept == [Sweep()]
        assert store.blobs.fault(f"{store.blobs.root}/acme/sha256/aa/bb", size, content_hash) is None
