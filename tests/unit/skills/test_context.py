"""The context: one key for all attempts, a folder that goes away, artifacts in order."""

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from orchestrator.artifacts import ArtifactGone, ArtifactRejected, ArtifactStore
from orchestrator.domain.output import Artifact, artifact_to_json
from orchestrator.skills import ArtifactSink, SkillCall, SkillError, StepContext


@pytest.fixture
def sink(tmp_path: Path) -> ArtifactSink:
    return ArtifactStore(str(tmp_path / "store"))


def test_idempotency_key_belongs_to_the_step_of_the_run() -> None:
    keys = {StepContext("run", "step", attempt).idempotency_key for attempt in (1, 2, 3)}
    assert len(keys) == 1
    assert UUID(keys.pop()).version == 5
    others = [StepContext(*pair).idempotency_key for pair in (("run", "step"), ("run", "b"), ("b", "step"))]
    assert len(set(others)) == 3
    assert StepContext("run", "step").idempotency_key == "7392b949-43d0-597f-9d89-f11497654f15"


def test_context_of_a_call() -> None:
    ctx = StepContext.for_call(SkillCall("run", "step", 2, "acme", "a.b"))
    assert (ctx.run_id, ctx.step_id, ctx.attempt, ctx.tenant) == ("run", "step", 2, "acme")


def test_workspace_comes_when_asked_for_and_goes_at_the_end() -> None:
    ctx = StepContext("run", "step")
    assert not ctx.has_workspace
    folder = ctx.workspace
    assert folder is ctx.workspace
    (folder / "sub").mkdir()
    (folder / "sub" / "file").write_text("x")
    ctx.close()
    assert not folder.exists()
    with pytest.raises(SkillError, match="has ended"):
        _ = ctx.workspace


def test_log_knows_where_it_is() -> None:
    with capture_logs() as lines:
        StepContext("run", "step", 2).log.info("hello", bpm=90)
    assert lines == [
        {"event": "hello", "bpm": 90, "log_level": "info", "run_id": "run", "step_id": "step", "attempt": 2}
    ]


def test_progress_is_clamped_and_reported() -> None:
    seen: list[tuple[float, str]] = []
    ctx = StepContext("run", "step", on_progress=lambda fraction, message: seen.append((fraction, message)))
    ctx.progress(0.5, "half")
    ctx.progress(7)
    ctx.progress(-1)
    ctx.cancel()
    ctx.progress(0.9)
    assert seen == [(0.5, "half"), (1.0, ""), (0.0, "")]
    StepContext("run", "step").progress(0.5)


def test_cancel_wakes_who_waits() -> None:
    ctx = StepContext("run", "step")
    assert not ctx.cancelled
    assert ctx.wait(0.001) is False
    timer = threading.Timer(0.05, ctx.cancel)
    timer.start()
    started = time.monotonic()
    assert ctx.wait(10) is True
    assert time.monotonic() - started < 5
    timer.join()
    assert ctx.cancelled


def test_wait_after_cancel_does_not_wait() -> None:
    ctx = StepContext("run", "step")
    ctx.cancel()
    assert ctx.wait(10) is True


class TestArtifacts:
    def test_bytes_and_files_in_order(self, sink: ArtifactSink, tmp_path: Path) -> None:
        ctx = StepContext("run", "step", sink=sink)
        (tmp_path / "absolute.txt").write_text("absolute")
        (ctx.workspace / "relative.txt").write_text("relative")
        first = ctx.artifact(b"bytes", "x", "bytes.bin", {"n": 1})
        second = ctx.artifact(tmp_path / "absolute.txt", "text/plain")
        third = ctx.artifact("relative.txt", "text/plain", filename="other.txt")
        assert ctx.artifacts == (first, second, third)
        assert [made.filename for made in ctx.artifacts] == ["bytes.bin", "absolute.txt", "other.txt"]
        assert first.metadata == {"n": 1}
        ctx.close()

    def test_artifacts_outlive_the_workspace(self, tmp_path: Path) -> None:
        store = ArtifactStore(str(tmp_path))
        ctx = StepContext("run", "step", sink=store)
        (ctx.workspace / "a").write_text("kept")
        made = ctx.artifact("a", "x")
        ctx.close()
        assert store.read(made) == b"kept"

    def test_each_is_listed_once(self, sink: ArtifactSink) -> None:
        ctx = StepContext("run", "step", sink=sink)
        first = ctx.artifact(b"same", "x", "a")
        assert ctx.artifact(bytearray(b"same"), "x", "a") == first
        other_name = ctx.artifact(memoryview(b"same"), "x", "b")
        other_type = ctx.artifact(b"same", "y", "a")
        assert ctx.artifacts == (first, other_name, other_type)

    def test_uri_from_outside(self, sink: ArtifactSink) -> None:
        ctx = StepContext("run", "step", sink=sink)
        made = ctx.register_uri("https://cdn.test/a", "x", content_hash="0" * 64, size_bytes=3)
        assert ctx.artifacts == (made,)
        assert (made.content_hash, made.size_bytes) == ("0" * 64, 3)

    def test_refused_artifact_is_not_listed(self, sink: ArtifactSink) -> None:
        ctx = StepContext("run", "step", sink=sink)
        with pytest.raises(ArtifactRejected):
            ctx.artifact(b"x", "x", "../x")
        assert ctx.artifacts == ()

    def test_nothing_is_taken_after_the_end(self, sink: ArtifactSink) -> None:
        ctx = StepContext("run", "step", sink=sink)
        ctx.close()
        with pytest.raises(SkillError, match="has ended"):
            ctx.artifact(b"late", "x")

    @pytest.mark.parametrize("kind", ["file", "memory"])
    def test_an_earlier_artifact_is_a_stream_and_a_file(self, tmp_path: Path, kind: str) -> None:
        store = ArtifactStore(str(tmp_path / "store") if kind == "file" else f"memory://{tmp_path.name}")
        content = os.urandom(3_000_000)
        made = store.put_bytes("default", content, type="x", filename="in/notes.v1.txt")
        ctx = StepContext("run", "step", sink=store)
        with ctx.open_artifact(artifact_to_json(made)) as stream:
            assert stream.read() == content
        path = ctx.artifact_path(made)
        assert (path.name, path.is_relative_to(ctx.workspace)) == ("notes.v1.txt", True)
        assert path.read_bytes() == content
        assert path.resolve().is_relative_to(tmp_path / "store") is (kind == "file")
        assert path.stat().st_mode & 0o222 == 0, "nobody changes it by mistake"
        assert ctx.artifact_path(artifact_to_json(made)) == path
        ctx.close()
        assert not path.exists()
        assert store.read(made) == content

    def test_a_file_of_the_store_that_can_be_changed_is_copied(self, tmp_path: Path) -> None:
        store = ArtifactStore(str(tmp_path))
        made = store.put_bytes("default", b"x", type="x")
        kept = store.local_path(made)
        assert kept is not None
        kept.chmod(0o600)  # as versions before 0.2 and some ways to restore leave it
        ctx = StepContext("run", "step", sink=store)
        path = ctx.artifact_path(made)
        assert (path.name, path.is_symlink(), path.read_bytes()) == ("artifact", False, b"x")
        kept.write_bytes(b"y")
        for read in (ctx.read_artifact, lambda made: ctx.open_artifact(made).read()):
            with pytest.raises(ArtifactGone, match="altered"):
                read(made)
        ctx.close()

    @pytest.mark.parametrize("name", ["..", "a/..", "/", "x" * 254 + ".txt", "a\0b", None])
    def test_a_filename_does_not_lead_out_of_the_workspace(self, tmp_path: Path, name: str | None) -> None:
        store = ArtifactStore(f"memory://{tmp_path.name}")
        made = replace(store.put_bytes("default", b"x", type="x"), filename=name)
        ctx = StepContext("run", "step", sink=store)
        path = ctx.artifact_path(made)
        assert path.resolve().is_relative_to(ctx.workspace.resolve())
        assert path.read_bytes() == b"x"
        ctx.close()

    @pytest.mark.parametrize("method", ["read_artifact", "open_artifact", "artifact_path"])
    def test_what_is_no_artifact_of_this_tenant_is_refused(self, tmp_path: Path, method: str) -> None:
        store = ArtifactStore(str(tmp_path))
        made = store.put_bytes("other", b"x", type="x")
        ctx = StepContext("run", "step", sink=store)
        with pytest.raises(ArtifactRejected, match="does not belong to tenant default"):
            getattr(ctx, method)(made)
        escaping = replace(made, content_hash="../../x", uri="file:///etc/passwd")
        with pytest.raises(ArtifactRejected, match="not in this store"):
            getattr(ctx, method)(escaping)
        with pytest.raises(SkillError, match=r"select one with steps\.<id>\.artifacts\[0\]"):
            getattr(ctx, method)({"data": 1})
        ctx.close()
        with pytest.raises(SkillError, match="has ended"):
            getattr(ctx, method)(made)

    def test_without_a_sink_it_says_so(self) -> None:
        with pytest.raises(TypeError, match="without an artifact sink"):
            StepContext("run", "step").artifact(b"x", "x")

    def test_files_go_to_the_sink_as_files(self, tmp_path: Path) -> None:
        class Recording:
            def __init__(self) -> None:
                self.paths: list[Path] = []

            def put_bytes(self, tenant: str, data: Any, **_: Any) -> Artifact:
                raise AssertionError(data)

            def put_file(
                self,
                tenant: str,
                path: str | PathLike[str],
                *,
                type: str,
                filename: str | None = None,
                metadata: Mapping[str, Any] | None = None,
            ) -> Artifact:
                self.paths.append(Path(path))
                return Artifact("id", type, "uri", "", 0)

            def register_uri(self, tenant: str, uri: str, **_: Any) -> Artifact:
                raise AssertionError(uri)

        recording = Recording()
        StepContext("run", "step", sink=recording).artifact(str(tmp_path / "a"), "x")
        assert recording.paths == [tmp_path / "a"]


@pytest.mark.parametrize("seconds", [None, "1", float("nan")])
def test_a_pause_takes_a_number(seconds: Any) -> None:
    with pytest.raises(TypeError, match="takes a number of seconds, not"):
        StepContext("run", "step").wait(seconds)


@pytest.mark.parametrize("seconds", [float("inf"), 1e300])
def test_a_pause_of_any_length_ends_when_the_attempt_is_cancelled(seconds: float) -> None:
    ctx = StepContext("run", "step")
    ended: list[bool] = []
    waiter = threading.Thread(target=lambda: ended.append(ctx.wait(seconds)))
    waiter.start()
    waiter.join(0.05)
    ctx.cancel()
    waiter.join()
    assert ended == [True]
