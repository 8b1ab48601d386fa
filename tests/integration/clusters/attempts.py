"""Attempts for clusters, and what became of them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrator.artifacts.store import ArtifactStore
from orchestrator.clusters.contract import Record, Work, attempt_name, fence_hash, new_fence
from orchestrator.clusters.records import Records
from orchestrator.domain.output import Output, StepError
from orchestrator.skills.call import SkillCall

SKILLS = Path(__file__).with_name("far_skills.py")
TENANT = "acme"


class Attempts:
    """Attempts with a store and a file of executions, both below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = ArtifactStore(str(folder / "artifacts"), spill_bytes=10_000)
        self.records = Records(self.store.blobs)
        self._number = 0

    def work(self, skill_id: str, /, *, timeout_ms: int | None = None, **given: Any) -> Work:
        """A new attempt of `far.<skill_id>`; its file of executions is its own."""
        self._number += 1
        name = attempt_name(str(self.folder), skill_id, self._number)
        full = f"far.{skill_id}"
        payload = {"file": str(self.folder / f"{name}.began"), **given}
        call = SkillCall("run", skill_id, self._number, TENANT, full, payload, timeout_ms)
        return Work(name, new_fence(), call, f"{full}@1.0.0")

    def executions(self, work: Work) -> list[int]:
        """The process of each execution that has begun."""
        path = Path(work.call.input["file"])
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def record(self, work: Work) -> Record | None:
        return self.records.read(TENANT, work.name, fence_hash(work.fence))

    def output(self, work: Work) -> Output:
        record = self.record(work)
        assert record is not None
        assert isinstance(record.outcome, Output), record
        return record.outcome

    def error(self, work: Work) -> StepError:
        record = self.record(work)
        assert record is not None
        assert isinstance(record.outcome, StepError), record
        return record.outcome


def other_version(work: Work) -> Work:
    return replace(work, skill=f"{work.call.skill_id}@9.9.9")
