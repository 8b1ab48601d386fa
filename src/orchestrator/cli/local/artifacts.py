"""The command `artifacts prune`."""

from typing import Any

from orchestrator.artifacts.sweeper import UndatedContent
from orchestrator.audit.transfer.end import DamagedExport
from orchestrator.audit.transfer.parquet import ParquetMissing
from orchestrator.bootstrap.core import open_core
from orchestrator.bootstrap.retaining import build_pruner
from orchestrator.cli.complaint import Complaint, sentence
from orchestrator.cli.inputs import read_age
from orchestrator.cli.logging import configure_logging
from orchestrator.cli.output.meter import open_meter
from orchestrator.cli.output.terminal import counted, print_json, print_line, size
from orchestrator.projections.views.values import timestamp
from orchestrator.retention.pruner import AgeTooLow
from orchestrator.retention.turn import RetentionRunning
from orchestrator.settings import Settings

Document = dict[str, Any]


def prune_content(settings: Settings, older_than: str, *, dry_run: bool) -> Document:
    """Remove content of the configured tenant that nothing names, or with `dry_run` count it.

    Raises:
        Complaint: the age is invalid or too low, or pruning is not possible now.
    """
    seconds = read_age(older_than)
    configure_logging(settings, quiet=True)
    with open_core(settings) as core, open_meter() as meter:
        try:
            done = build_pruner(core).prune(seconds, dry_run=dry_run, on_stage=meter)
        except (AgeTooLow, RetentionRunning, UndatedContent, DamagedExport, ParquetMissing) as error:
            raise Complaint(sentence(str(error))) from error
        except FileNotFoundError as error:
            raise Complaint(
                f"An archive file is missing, so what it names is not known: {error}",
                "Restore it to ORCHESTRATOR_ARCHIVE_URL; nothing was removed.",
            ) from error
    return {
        "tenant": settings.tenant,
        "before": timestamp(done.before),
        "dryRun": dry_run,
        "objects": done.sweep.removed,
        "sizeBytes": done.sweep.removed_bytes,
        "named": done.sweep.named,
        "tooNew": done.sweep.too_new,
    }


def print_pruned(done: Document, *, as_json: bool) -> None:
    """Print how much was removed, and how much was kept."""
    if as_json:
        print_json(done)
        return
    what = f"{counted(done['objects'], 'object')} ({size(done['sizeBytes'])}) stored before {done['before']}"
    print_line(f"{what} would be removed" if done["dryRun"] else f"removed {what}")
    print_line(f"{counted(done['named'], 'object')} kept, named by runs, cached results or archive files")
    if done["tooNew"]:
        print_line(f"{counted(done['tooNew'], 'object')} not named, but newer; a later prune removes them")
