"""The writer of step logs outlives stores and databases that are away, without a word to the skill."""

from pathlib import Path
from time import monotonic
from uuid import uuid4

from orchestrator.application.calls import StepLogs
from orchestrator.application.core import Core
from orchestrator.application.step_logs import LogScope
from orchestrator.artifacts.store import ArtifactStore
from orchestrator.bootstrap.core import open_core
from orchestrator.domain.output import Artifact
from orchestrator.settings import Settings
from orchestrator.skills import SkillCall
from orchestrator.workers.logs import LogWriter


class FlakyStore:
    """A store that is away for the first attempts to write."""

    def __init__(self, store: ArtifactStore, failures: int) -> None:
        self._store = store
        self.failures = failures

    def put_bytes(self, tenant: str, data: bytes, *, type: str) -> Artifact:
        if self.failures:
            self.failures -= 1
            raise OSError("the store is away")
        return self._store.put_bytes(tenant, data, type=type)


class Counted:
    """What the writer has counted."""

    def __init__(self) -> None:
        self.lines = self.cut = self.failures = 0

    def log_written(self, lines: int, size: int) -> None:
        assert size >= lines
        self.lines += lines

    def log_cut(self, lines: int) -> None:
        self.cut += lines

    def log_failed(self) -> None:
        self.failures += 1


def new_call() -> SkillCall:
    return SkillCall(str(uuid4()), "step", 1, "default", "x")


async def stored(core: Core, call: SkillCall) -> list[str]:
    logs = StepLogs(core.database, core.reader, core.store, core.workflows.get)
    page = await logs.page(LogScope("default", call.run_id))
    return [line["text"] for _, line in page.lines]


async def test_lines_are_written_when_the_store_is_back(database_url: str, tmp_path: Path) -> None:
    with open_core(Settings(database_url=database_url, data_dir=tmp_path)) as core:
        counts, calls = Counted(), [new_call(), new_call()]
        writer = LogWriter(core.database, FlakyStore(core.store, 2), max_bytes=1 << 20, counts=counts)
        for call in calls:
            log = writer.open(call)
            assert log is not None
            log.write("stdout", f"of {call.run_id}\n")
            log.close()
        silent = writer.open(new_call())
        assert silent is not None
        silent.close()
        writer.close(20.0)
        for call in calls:
            assert await stored(core, call) == [f"of {call.run_id}"]
        assert (counts.lines, counts.failures, counts.cut) == (2, 2, 0)


async def test_a_store_that_stays_away_holds_up_nobody(database_url: str, tmp_path: Path) -> None:
    with open_core(Settings(database_url=database_url, data_dir=tmp_path)) as core:
        counts, call = Counted(), new_call()
        writer = LogWriter(core.database, FlakyStore(core.store, 1 << 30), max_bytes=1 << 30, counts=counts)
        log = writer.open(call)
        assert log is not None
        began = monotonic()
        for _ in range(100_000):
            log.write("stdout", "x" * 1000 + "\n")
        log.close()
        assert log.cut > 50_000, "the memory is bounded"
        writer.close(0.5)
        assert monotonic() - began < 30
        assert counts.failures > 0
        assert await stored(core, call) == []


async def test_a_chunk_that_is_gone_hides_no_other(database_url: str, tmp_path: Path) -> None:
    with open_core(Settings(database_url=database_url, data_dir=tmp_path)) as core:
        call = new_call()
        for part, text in ((1, "first"), (2, "second")):
            writer = LogWriter(core.database, core.store, max_bytes=1 << 20, counts=Counted())
            attempt = SkillCall(call.run_id, "step", part, "default", "x")
            log = writer.open(attempt)
            assert log is not None
            log.write("stdout", f"{text}\n")
            log.close()
            writer.close(20.0)
        first, second = sorted(
            (path for path in (tmp_path / "artifacts").rglob("*") if path.is_file()),
            key=lambda path: path.stat().st_mtime_ns,
        )
        first.unlink()
        lines = await stored(core, call)
        assert second.exists()
        assert lines[0].startswith("[1 lines are missing: ")
        assert lines[1:] == ["second"]
