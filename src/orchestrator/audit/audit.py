"""The audit: fold the log again, and compare everything that is derived from it.

chain        the log is what was recorded, without gaps, to its end
archive      every archive file holds what was recorded, and its histories are valid
history      the decider accepts every event of every run at its place
read model   every row is the fold of its run
artifact     every recorded artifact, and all data too large for the log, exists unchanged

Something that cannot be checked (a server does not answer, a newer program wrote the event) is a separate finding. It
does not mean that anything is wrong.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.artifacts.outside import Verdict
from orchestrator.audit.chain import Chain, ChainHead
from orchestrator.audit.histories import HistoriesAudit
from orchestrator.audit.transfer.export import EventSelection, select
from orchestrator.domain.errors import NeedsNewerProgram
from orchestrator.domain.output import Artifact, artifact_from_json
from orchestrator.eventstore.log import PostgresLog
from orchestrator.postgres.database import Database
from orchestrator.postgres.sql import load_sql
from orchestrator.postgres.unavailable import DatabaseUnavailable
from orchestrator.projections.rebuild.stages import OnStage, silent
from orchestrator.projections.rebuild.supervision import ReadModelSupervisor

_SQL = load_sql(__file__)
_PAGE = 500
_NO_ID = "00000000-0000-0000-0000-000000000000"

CheckArtifacts = Callable[[Sequence[Artifact]], Sequence[Verdict | None]]
"""Returns for each artifact None if it is intact, otherwise the verdict."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding of an audit: its kind, its place, what is wrong, and the position in the log, if any.

    If `checked` is False, the thing could not be checked, and may be correct.
    """

    kind: str
    place: str
    message: str
    position: int | None = None
    checked: bool = True


CheckArchives = Callable[[OnStage], Iterable[Finding]]
"""Compares the archive files with what was recorded about them."""


class Auditor:
    """Audits the log and what is derived from it. Synchronous, changes nothing."""

    def __init__(
        self,
        database: Database,
        log: PostgresLog,
        read_models: ReadModelSupervisor,
        check_artifacts: CheckArtifacts,
        check_archives: CheckArchives = lambda _: (),
    ) -> None:
        self._database = database
        self._log = log
        self._check_artifacts = check_artifacts
        self._check_archives = check_archives
        self._read_models = read_models
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
        """Yield what is wrong and what could not be checked. No findings at all is the proof.

        Args:
            run_id: check only the history and artifacts of this run, not the chain, the archive or the read models.
            since: check only histories of runs triggered, and artifacts created, at or after this time (milliseconds
                since 1970 UTC).
            heads: heads of the chain that were exported earlier.
            with_artifacts: whether to check the artifacts.
            on_stage: called with the progress.
        """
        if run_id is None:
            yield from self._chain_findings(heads, on_stage)
        yield from self._history_findings(run_id, since, on_stage)
        if run_id is None:
            yield from self._check_archives(on_stage)
            yield from self._read_model_findings(on_stage)
        if with_artifacts:
            yield from self._artifact_findings(run_id, since, on_stage)
            yield from self._data_findings(run_id, since, on_stage)

    def _chain_findings(self, heads: Sequence[ChainHead], report: OnStage) -> Iterator[Finding]:
        fault = self._chain.verify(heads, report)
        if fault is not None:
            yield Finding("chain", f"position {fault.position}", fault.message, fault.position)

    def _history_findings(self, run_id: str | None, since: int | None, report: OnStage) -> Iterator[Finding]:
        audit = HistoriesAudit(self._log.mapper, None if since is None else lambda first: first.event.at >= since)
        rows, total = select(self._log, EventSelection(run_id=run_id)), None if run_id else self._log.last_position()
        for fault in audit.faults(rows, total, report):
            yield Finding("history", f"run {fault.stream_id}", fault.message, fault.position, fault.checked)

    def _read_model_findings(self, report: OnStage) -> Iterator[Finding]:
        for name in self._read_models.names:
            try:
                result = self._read_models.verify(name)
                report(f"{name}: events", result.events, None)
            except DatabaseUnavailable:
                raise
            except NeedsNewerProgram as error:
                yield Finding("read model", name, str(error), checked=False)
                continue
            except Exception as error:  # noqa: BLE001 - a history that cannot be folded is a finding
                yield Finding("read model", name, f"cannot be rebuilt: {error!r}")
                continue
            for difference in result.differences:
                columns = ", ".join(
                    f"{column} is {there!r} instead of {right!r}"
                    for column, (there, right) in difference.columns.items()
                )
                yield Finding("read model", f"{name} {difference.key}", f"{difference.kind} {columns}".strip())

    def _artifact_findings(self, run_id: str | None, since: int | None, report: OnStage) -> Iterator[Finding]:
        checked, after = 0, {"tenant": "", "id": _NO_ID}
        while rows := self._all(_SQL.artifacts, {"run_id": run_id, "since": since, **after, "limit": _PAGE}):
            found = [
                Artifact(row["id"], row["type"], row["uri"], row["content_hash"], row["size_bytes"], row["filename"])
                for row in rows
            ]
            yield from self._verdicts(rows, found)
            checked += len(rows)
            after = {"tenant": rows[-1]["tenant"], "id": rows[-1]["id"]}
            report("artifacts", checked, None)

    def _data_findings(self, run_id: str | None, since: int | None, report: OnStage) -> Iterator[Finding]:
        checked, after = 0, {"after_run": _NO_ID, "after_step": ""}
        while rows := self._all(_SQL.large_data, {"run_id": run_id, "since": since, **after, "limit": _PAGE}):
            yield from self._verdicts(rows, [artifact_from_json(row["data_ref"]) for row in rows])
            checked += len(rows)
            after = {"after_run": rows[-1]["run_id"], "after_step": rows[-1]["step_id"]}
            report("large data", checked, None)

    def _verdicts(self, rows: Sequence[dict[str, Any]], artifacts: Sequence[Artifact]) -> Iterator[Finding]:
        for row, artifact, verdict in zip(rows, artifacts, self._check_artifacts(artifacts), strict=True):
            if verdict is not None:
                message = f"artifact {artifact.filename or artifact.id}: {verdict.reason}"
                place = f"run {row['run_id']}, step {row['step_id']}"
                yield Finding("artifact", place, message, checked=verdict.checked)

    def _all(self, statement: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        with self._database.connection() as connection:
            return connection.execute(statement, parameters).fetchall()
