"""The audit: the log folded again, and everything that is derived from it held against it.

chain        the log is what was recorded, without gaps, to its end
archive      every file of archived runs holds what was recorded, and histories that could have happened
history      every event of every run is one that the decider accepts at its place
read model   every row is the fold of its run
artifact     every recorded artifact is there, byte for byte
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.domain.audit import faults
from orchestrator.domain.events import RunTriggered
from orchestrator.domain.output import Artifact, Output
from orchestrator.eventstore.database import Database
from orchestrator.eventstore.log import PostgresLog
from orchestrator.eventstore.runs import FindWorkflow
from orchestrator.eventstore.sql import load_sql
from orchestrator.projections.chain import Chain, ChainHead
from orchestrator.projections.stages import OnStage, silent
from orchestrator.projections.supervision import ReadModelSupervisor

_SQL = load_sql(__file__)
_PAGE = 500
_NO_ID = "00000000-0000-0000-0000-000000000000"

CheckArtifact = Callable[[str, Output], str | None]
"""Returns what is wrong with the artifacts of a tenant's output, in words, or None."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be: what `kind` of thing, where, what is wrong, and where in the log."""

    kind: str
    place: str
    message: str
    position: int | None = None


CheckArchives = Callable[[OnStage], Iterable[Finding]]
"""Holds the archive files against what was recorded of them."""


class Auditor:
    """Audits the log and what follows from it. Synchronous, changes nothing."""

    def __init__(
        self,
        database: Database,
        log: PostgresLog,
        find_workflow: FindWorkflow,
        check_artifact: CheckArtifact,
        check_archives: CheckArchives = lambda _: (),
    ) -> None:
        self._database = database
        self._log = log
        self._find_workflow = find_workflow
        self._check_artifact = check_artifact
        self._check_archives = check_archives
        self._read_models = ReadModelSupervisor(database, log, find_workflow)
        self._chain = Chain(database, log.recorder)

    def verify(
        self,
        *,
        run_id: str | None = None,
        since: int | None = None,
        heads: Sequence[ChainHead] = (),
        with_artifacts: bool = True,
        on_stage: OnStage = silent,
    ) -> Iterator[Finding]:
        """Yield what is wrong; nothing at all is the proof.

        Args:
            run_id: only this run's history and artifacts; the chain and the read models are left out.
            since: only the histories of runs triggered at or after this time (milliseconds since 1970 UTC).
            heads: heads of the chain, exported earlier.
            with_artifacts: whether the artifacts are to be looked at.
            on_stage: told about the progress.
        """
        if run_id is None:
            yield from self._chain_findings(heads, on_stage)
        yield from self._history_findings(run_id, since, on_stage)
        if run_id is None:
            yield from self._check_archives(on_stage)
            yield from self._read_model_findings(on_stage)
        if with_artifacts:
            yield from self._artifact_findings(run_id, on_stage)

    def _chain_findings(self, heads: Sequence[ChainHead], report: OnStage) -> Iterator[Finding]:
        fault = self._chain.verify(heads, report)
        if fault is not None:
            yield Finding("chain", f"position {fault.position}", fault.message, fault.position)

    def _history_findings(self, run_id: str | None, since: int | None, report: OnStage) -> Iterator[Finding]:
        if run_id is None:
            for row in self._all(_SQL.headless, {}):
                yield Finding(
                    "history", f"stream {row['stream_id']}, position {row['position']}", "it has no first event"
                )
        for audited, found in enumerate(self._run_ids(run_id), 1):
            yield from self._run_findings(found, since)
            report("histories: runs", audited, None)

    def _run_findings(self, run_id: str, since: int | None) -> Iterator[Finding]:
        try:
            history = self._log.read(run_id)
            if not history:
                return  # it has left for an archive meanwhile
            first = history[0].event
            if not isinstance(first, RunTriggered):
                yield Finding("history", f"run {run_id}", f"it begins with {type(first).__name__}")
                return
            if since is not None and first.at < since:
                return
            workflow = self._find_workflow(history[0].tenant, first.workflow_name, first.workflow_version)
            versioned: Any = [(recorded.version, recorded.event) for recorded in history]
            for fault in faults(run_id, workflow, versioned):
                yield Finding(
                    "history", f"run {run_id}, positions {history[0].position} to {history[-1].position}", fault
                )
        except Exception as error:  # noqa: BLE001 - whatever a tampered history leads to is a finding
            yield Finding("history", f"run {run_id}", f"it cannot be read: {error!r}")

    def _read_model_findings(self, report: OnStage) -> Iterator[Finding]:
        for name in self._read_models.names:
            try:
                result = self._read_models.verify(name)
                report(f"{name}: events", result.events, None)
            except Exception as error:  # noqa: BLE001 - a history that cannot be folded is a finding
                yield Finding("read model", name, f"it cannot be rebuilt: {error!r}")
                continue
            for difference in result.differences:
                columns = ", ".join(
                    f"{column} is {there!r} instead of {right!r}"
                    for column, (there, right) in difference.columns.items()
                )
                yield Finding("read model", f"{name} {difference.key}", f"{difference.kind} {columns}".strip())

    def _artifact_findings(self, run_id: str | None, report: OnStage) -> Iterator[Finding]:
        checked, after = 0, _NO_ID
        while rows := self._all(_SQL.artifacts, {"run_id": run_id, "after": after, "limit": _PAGE}):
            for row in rows:
                artifact = Artifact(
                    row["id"], row["type"], row["uri"], row["content_hash"], row["size_bytes"], row["filename"]
                )
                fault = self._check_artifact(row["tenant"], Output(None, (artifact,)))
                if fault is not None:
                    yield Finding("artifact", f"run {row['run_id']}, step {row['step_id']}", fault)
            checked += len(rows)
            after = rows[-1]["id"]
            report("artifacts", checked, None)

    def _run_ids(self, run_id: str | None) -> Iterator[str]:
        after = 0
        while rows := self._all(_SQL.runs, {"run_id": run_id, "after": after, "limit": _PAGE}):
            for row in rows:
                yield row["run_id"]
            after = rows[-1]["position"]

    def _all(self, statement: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        with self._database.connection() as connection:
            return connection.execute(statement, parameters).fetchall()
