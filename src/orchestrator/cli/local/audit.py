"""The audit commands. They work on the database itself: through a server, an audit would have to trust that server."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from orchestrator.application.clock import now
from orchestrator.application.core import Core
from orchestrator.artifacts.private import create_private_file
from orchestrator.audit.audit import Finding
from orchestrator.audit.chain import ChainHead, Tally
from orchestrator.audit.heads import (
    BadHead,
    BadKey,
    SignedHead,
    SigningKey,
    head_view,
    new_key,
    read_head,
    read_key,
)
from orchestrator.audit.transfer.end import DamagedExport
from orchestrator.audit.transfer.export import EventSelection, Format, select, write_export
from orchestrator.audit.transfer.importer import ImportRefused
from orchestrator.audit.transfer.parquet import ParquetMissing
from orchestrator.bootstrap.auditing import build_auditor, build_importer
from orchestrator.bootstrap.core import open_core
from orchestrator.bootstrap.showing import build_chain, build_projector
from orchestrator.cli.complaint import Complaint
from orchestrator.cli.logging import configure_logging
from orchestrator.cli.output.answers import answers
from orchestrator.cli.output.meter import open_meter
from orchestrator.domain.errors import RunNotFound
from orchestrator.projections.rebuild.stages import OnStage
from orchestrator.projections.views.values import timestamp
from orchestrator.settings import Settings


@dataclass(frozen=True, slots=True)
class AuditScope:
    """What to audit: one run, or runs since a time (milliseconds since 1970 UTC), and the heads to compare with."""

    run_id: str | None = None
    since: int | None = None
    heads: tuple[Path, ...] = ()
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class Audited:
    """The result of an audit.

    `position` is the end of the log when the audit began, and `covered` is the end of its hash chain. `unchecked` are
    findings about what could not be checked.
    """

    position: int
    covered: int
    findings: tuple[Finding, ...]
    unchecked: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class ImportedLog:
    """The result of an import; `findings` is None without an audit."""

    events: int
    resumed_at: int
    head: ChainHead
    findings: tuple[Finding, ...] | None


def make_head(settings: Settings, output: Path | None, key: Path | None) -> SignedHead:
    """Return the head of the log. Sign it if a key is given, and write it if a file is given."""
    configure_logging(settings, quiet=True)
    signer = None if key is None else _key(key)
    with open_core(settings) as core:
        made = SignedHead(build_chain(core).head(), timestamp(now()) or "")
    if signer is not None:
        with _naming(key):
            made = signer.sign(made)
    if output is not None:
        output.write_bytes(orjson.dumps(head_view(made), option=orjson.OPT_APPEND_NEWLINE))
    return made


def make_keys(file: Path) -> tuple[Path, Path]:
    """Write a new key pair and return the paths of the private and the public key. Never replace a file."""
    public = file.with_name(f"{file.name}.pub")
    for path in (file, public):
        if path.exists():
            raise Complaint(f"{path} already exists", "Choose another file: a key that was used must not be lost.")
    with _naming(None):
        key = new_key()
    with create_private_file(file) as private:
        private.write(key.pem().encode("ascii"))
    public.write_text(key.pem(public=True), encoding="ascii")
    return file, public


def export_log(
    settings: Settings, selection: EventSelection, output: Path | None, form: Format | None, *, as_json: bool
) -> Tally:
    """Write the selected events to a file or to stdout, and return their tally.

    Raises:
        Complaint: the format or --json needs a file, or the file cannot be written.
        RunNotFound, RunArchived, RunDeleted: the selected run is not in the log.
    """
    form = form or ("parquet" if output is not None and output.suffix == ".parquet" else "jsonl")
    if output is None and (form == "parquet" or as_json):
        raise Complaint(
            "With --json, the events cannot go to stdout" if as_json else "Parquet cannot be written to stdout",
            "Give a file with --output FILE.",
        )
    configure_logging(settings, quiet=True)
    absence: RunNotFound | None = None
    with open_core(settings) as core, open_meter() as report, _naming(output):
        total = core.log.last_position() if selection == EventSelection() else None
        tally = write_export(
            select(core.log, selection),
            output or answers().buffer,
            form,
            total=total,
            on_stage=report,
        )
        if selection.run_id is not None and not tally.events and not selection.has_times:
            absence = core.runs.absence(selection.run_id, None)
    if absence is not None:
        if output is not None:
            output.unlink()
        raise absence
    return tally


def import_log(settings: Settings, file: Path, *, with_audit: bool) -> ImportedLog:
    """Import an export, build the read models, and audit the result if `with_audit` is set."""
    if not file.is_file():
        raise Complaint(f"File not found: {file}", "Write one with `orchestrator audit export --output FILE`.")
    configure_logging(settings, quiet=True)
    with open_core(settings) as core, open_meter() as report:
        with _naming(file):
            imported = build_importer(core).run(file, report)
        _project(core, report)
        head = build_chain(core).head()
        if head != imported.head:
            raise Complaint(
                f"The imported log ends with {head.link} at position {head.position}, but the export ends with "
                f"{imported.head.link} at {imported.head.position}",
                "Another process wrote to this database during the import. Import into a separate database.",
            )
        findings = None
        if with_audit:
            auditor = build_auditor(core)
            findings = tuple(auditor.verify(heads=[head], with_artifacts=False, on_stage=report))
        return ImportedLog(imported.events, imported.resumed_at, head, findings)


def _project(core: Core, report: OnStage) -> None:
    projector, end = build_projector(core), core.log.last_position()
    while projector.project_batch():
        report("building the read models: events", core.reader.position(), end)


def verify_log(settings: Settings, scope: AuditScope) -> Audited:
    """Audit the log and everything derived from it."""
    configure_logging(settings, quiet=True)
    key = None if scope.key is None else _key(scope.key)
    heads = [_trusted_head(path, key) for path in scope.heads]
    with open_core(settings) as core, open_meter() as report:
        if scope.run_id is not None and not core.log.read(scope.run_id, limit=1):
            raise RunNotFound(f"there is no run {scope.run_id}", runId=scope.run_id)
        position, covered = core.log.last_position(), build_chain(core).covered()
        auditor = build_auditor(core)
        found = list(auditor.verify(run_id=scope.run_id, since=scope.since, heads=heads, on_stage=report))
        wrong = tuple(finding for finding in found if finding.checked)
        return Audited(position, covered, wrong, tuple(finding for finding in found if not finding.checked))


def _trusted_head(path: Path, key: SigningKey | None) -> ChainHead:
    """Return the head in a file. A signed head needs a key to verify it, and a key needs a signed head."""
    text = _text(path).encode()
    with _naming(path):
        signed = read_head(text)
        if key is not None:
            key.check(signed)
        elif signed.signature is not None:
            raise BadHead("it is signed: give the public key with --key (keep that key on another machine)")
    return signed.head


def _key(path: Path) -> SigningKey:
    text = _text(path)
    with _naming(path):
        return read_key(text)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise Complaint(f"Cannot read {path}: {cause}") from error


@contextmanager
def _naming(path: Path | None) -> Iterator[None]:
    """Turn an error about a file into a Complaint that names the file."""
    try:
        yield
    except (BadHead, BadKey, DamagedExport, ImportRefused, ParquetMissing) as error:
        raise Complaint(f"{path}: {error}" if path is not None else str(error)) from error
