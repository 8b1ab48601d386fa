"""The retention commands."""

from dataclasses import asdict
from datetime import UTC
from typing import Any

from orchestrator.application.clock import now
from orchestrator.application.core import Core
from orchestrator.audit.transfer.end import DamagedExport
from orchestrator.audit.transfer.parquet import ParquetMissing
from orchestrator.bootstrap.core import open_core
from orchestrator.bootstrap.retaining import build_archivist, build_inspector
from orchestrator.bootstrap.showing import build_projector
from orchestrator.cli.actor import actor_name
from orchestrator.cli.complaint import Complaint, sentence
from orchestrator.cli.inputs import read_age
from orchestrator.cli.logging import configure_logging
from orchestrator.cli.output.meter import open_meter
from orchestrator.cli.output.terminal import counted, print_json, print_line, print_table, size
from orchestrator.projections.views.values import timestamp
from orchestrator.retention.removal import RetentionHeld
from orchestrator.retention.turn import RetentionRunning
from orchestrator.settings import Settings

Document = dict[str, Any]

_DAY_SECONDS = 86_400


def archive_runs(settings: Settings, older_than: str | None, *, dry_run: bool) -> Document:
    """Archive old runs, or with `dry_run` count them.

    Raises:
        Complaint: no retention period is given, or archiving is not possible now.
    """
    if older_than is not None:
        seconds = read_age(older_than)
    elif settings.retention_days is not None:
        seconds = settings.retention_days * _DAY_SECONDS
    else:
        raise Complaint("No retention period given", "Give --older-than 90d, or set ORCHESTRATOR_RETENTION_DAYS=90.")
    configure_logging(settings, quiet=True)
    before = now() - round(seconds * 1000)
    with open_core(settings) as core, open_meter() as meter:
        _catch_up(core)
        archivist = build_archivist(core, actor_name())
        if dry_run:
            found = archivist.look(before)
            return {"before": timestamp(before), "dryRun": True, "runs": found.leaving, **_kept(found)}
        try:
            done = archivist.apply(before, lambda runs, total: meter("archived runs", runs, total))
        except (RetentionRunning, RetentionHeld, DamagedExport, ParquetMissing) as error:
            raise Complaint(sentence(str(error))) from error
    return {
        "before": timestamp(before),
        "dryRun": False,
        "runs": done.runs,
        "events": done.events,
        "files": list(done.files),
        **_kept(done),
    }


def _catch_up(core: Core) -> None:
    """Bring the read models up to date, because no projector may be running."""
    projector = build_projector(core)
    while core.reader.position() < core.log.last_position() and projector.project_batch():
        pass


def _kept(found: Any) -> Document:
    return {"keptForCache": found.kept_for_cache, "keptForRuns": found.kept_for_runs}


def print_retired(done: Document, *, as_json: bool) -> None:
    """Print how many runs were archived and how many were kept."""
    if as_json:
        print_json(done)
        return
    runs = counted(done["runs"], "run")
    if done["dryRun"]:
        print_line(f"{runs} that ended before {done['before']} would be archived")
    else:
        print_line(f"archived {runs} that ended before {done['before']}: {done['events']:,} events")
        for name in done["files"]:
            print_line(f"  {name}")
    if done["keptForCache"]:
        print_line(
            f"{counted(done['keptForCache'], 'old run')} kept for the cache; `orchestrator cache prune` releases them"
        )
    if done["keptForRuns"]:
        print_line(f"{counted(done['keptForRuns'], 'old run')} kept for runs that build on them")


def find_archives(settings: Settings) -> list[Document]:
    """Return the recorded archive files."""
    configure_logging(settings, quiet=True)
    with open_core(settings) as core:
        return [_archived(asdict(one)) for one in build_inspector(core).archives()]


def _archived(one: Document) -> Document:
    return {
        "name": one["name"],
        "runs": one["runs"],
        "events": one["events"],
        "sizeBytes": one["size_bytes"],
        "sha256": one["sha256"],
        "firstPosition": one["first_position"],
        "lastPosition": one["last_position"],
        "head": {"position": one["chain_position"], "link": one["chain_link"]},
        "endedBefore": timestamp(one["cutoff"]),
        "archivedBy": one["archived_by"],
        "archivedAt": one["archived_at"].astimezone(UTC).isoformat().replace("+00:00", "Z"),
    }


def print_archives(archives: list[Document], *, as_json: bool) -> None:
    """Print the archive files."""
    if as_json:
        print_json({"archives": archives})
        return
    rows = [
        (
            one["name"],
            f"{one['runs']:,}",
            f"{one['events']:,}",
            size(one["sizeBytes"]),
            one["archivedAt"],
            one["archivedBy"],
        )
        for one in archives
    ]
    print_table(("file", ">runs", ">events", ">size", "archived", "by"), rows, empty="no archive files")


def find_faults(settings: Settings) -> Document:
    """Compare every archive file with its record."""
    configure_logging(settings, quiet=True)
    with open_core(settings) as core, open_meter() as meter:
        inspector = build_inspector(core)
        archives = inspector.archives()
        runs = sum(one.runs for one in archives)
        try:
            found = list(inspector.verify(lambda done: meter("archived runs", done, runs)))
        except ParquetMissing as error:
            raise Complaint(str(error), "") from error
    return {"archives": len(archives), "runs": runs, "findings": [asdict(one) for one in found]}


def print_faults(found: Document, *, as_json: bool) -> None:
    """Print the faults of the archive."""
    if as_json:
        print_json(found)
        return
    for each in found["findings"]:
        print_line(f"{each['place']}: {each['message']}")
    if not found["findings"]:
        print_line(f"verified: {counted(found['runs'], 'run')} in {counted(found['archives'], 'file')}")
