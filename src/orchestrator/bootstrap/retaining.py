"""Build the archivist, the inspector of the archive, and the pruner of the artifact store."""

from collections.abc import Iterator

from orchestrator.application.core import Core
from orchestrator.audit.audit import Finding
from orchestrator.bootstrap.configured import store_of
from orchestrator.projections.rebuild.stages import OnStage
from orchestrator.retention.archive import Archive
from orchestrator.retention.archivist import Archivist
from orchestrator.retention.inspector import Inspector
from orchestrator.retention.pruner import Pruner
from orchestrator.retention.run_logs import RunLogs


def build_archivist(core: Core, by: str, *, max_runs: int = 2000, timeout_seconds: float = 60.0) -> Archivist:
    """Return an archivist that records `by` as the actor.

    Raises:
        NeedsNewerProgram: the log may contain references between runs that this program does not know.
    """
    core.log.mapper.formats.require_known("retention")
    return Archivist(
        core.database,
        core.log,
        core.workflows.get,
        _archive(core),
        by,
        logs=RunLogs(core.database, core.store),
        max_runs=max_runs,
        timeout_seconds=timeout_seconds,
    )


def _archive(core: Core) -> Archive:
    with store_of("ARCHIVE_URL", core.settings.archive_url):
        return Archive(core.settings.archive_url)


def build_pruner(core: Core) -> Pruner:
    """Return the pruner of the artifacts of the configured tenant.

    Raises:
        NeedsNewerProgram: the log may name content in a way that this program does not know.
    """
    core.log.mapper.formats.require_known("artifacts prune")
    return Pruner(core.database, core.log, _archive(core), core.store, core.settings.tenant)


def build_inspector(core: Core) -> Inspector:
    """Return the inspector of the archive."""
    return Inspector(core.database, core.log.mapper, core.workflows.get, _archive(core))


def archive_findings(core: Core, on_stage: OnStage) -> Iterator[Finding]:
    """Yield the faults of the archive as findings of an audit."""
    for fault in build_inspector(core).verify(lambda runs: on_stage("archives: runs", runs, None)):
        yield Finding("archive", fault.place, fault.message)
