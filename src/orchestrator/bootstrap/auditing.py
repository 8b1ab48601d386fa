"""Build the auditor and the importer."""

from functools import partial

from orchestrator.application.core import Core
from orchestrator.artifacts.verify import examine
from orchestrator.audit.audit import Auditor
from orchestrator.audit.transfer.importer import Importer
from orchestrator.bootstrap.retaining import archive_findings


def build_importer(core: Core) -> Importer:
    """Return the importer for the core's database."""
    return Importer(core.log, core.workflows.get)


def build_auditor(core: Core) -> Auditor:
    """Return the auditor for the core's database."""
    return Auditor(
        core.database,
        core.log,
        core.read_models,
        partial(examine, core.store),
        partial(archive_findings, core),
    )
