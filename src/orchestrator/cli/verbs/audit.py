"""The verbs about the log as evidence: audit verify, head, export, import, keygen."""
# ruff: noqa: PLC0415 - help must not wait for what a verb needs

from pathlib import Path
from typing import Annotated, Literal

import typer

from orchestrator.cli.options import AsJson, DataDir

Format = Literal["jsonl", "parquet"]
Since = Annotated[str | None, typer.Option(metavar="TIME", help="From this time on, like 2026-01-31T12:00:00Z.")]


def head(
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it to this file.")] = None,
    sign: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Sign it with this private Ed25519 key, a PEM file.")
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Say what the whole log comes to. Kept elsewhere, it convicts whoever changes the log afterwards.

    Example: orchestrator audit head --sign private.pem --output heads/2026-01-31.json
    """
    from orchestrator.cli.inputs import read_settings
    from orchestrator.cli.local.audit import make_head
    from orchestrator.cli.output.audit import print_head

    made = make_head(read_settings(need_data=True, data_dir=data_dir), output, sign)
    print_head(made, output, as_json=as_json)


def keygen(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the private key goes; FILE.pub is the public.")],
    as_json: AsJson = False,
) -> None:
    """Make an Ed25519 key to sign heads with. `openssl genpkey -algorithm ed25519` makes one as well.

    Example: orchestrator audit keygen auditor.pem
    """
    from orchestrator.cli.local.audit import make_keys
    from orchestrator.cli.output.audit import print_keys

    print_keys(*make_keys(file), as_json=as_json)


def export(
    *,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Where to; stdout when not given.")] = None,
    form: Annotated[
        Format | None, typer.Option("--format", help="By the name of the file when not given, else jsonl.")
    ] = None,
    run: Annotated[str | None, typer.Option(metavar="RUN", help="Only this run, and its workflow.")] = None,
    since: Since = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Only what was decided before this time.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Write events exactly as they are stored. An export of the whole log can be imported elsewhere.

    Example: orchestrator audit export --format parquet --output log.parquet
    """
    from orchestrator.audit.transfer.export import EventSelection
    from orchestrator.cli.inputs import read_run_id, read_settings, read_time
    from orchestrator.cli.local.audit import export_log
    from orchestrator.cli.output.audit import print_exported

    selection = EventSelection(
        None if run is None else read_run_id(run),
        None if since is None else read_time(since),
        None if until is None else read_time(until),
    )
    settings = read_settings(need_data=True, data_dir=data_dir)
    made = export_log(settings, selection, output, form, as_json=as_json)
    if output is not None:
        print_exported(made, output, as_json=as_json)


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An export of a whole log, JSON Lines or Parquet.")],
    verify: Annotated[
        bool, typer.Option("--verify", help="Audit what was imported; exit code 1 when anything is wrong.")
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Bring an export into an empty database: every event at its place, every read model made from them.

    An import that was interrupted goes on where it was. Artifacts are not part of an export.

    Example: orchestrator audit import log.jsonl --verify --data-dir /tmp/audited
    """
    from orchestrator.cli.inputs import read_settings
    from orchestrator.cli.local.audit import import_log
    from orchestrator.cli.output.audit import print_imported

    done = import_log(read_settings(data_dir=data_dir), file, with_audit=verify)
    print_imported(done, as_json=as_json)
    if done.findings:
        raise typer.Exit(1)


def verify(
    *,
    run: Annotated[str | None, typer.Option(metavar="RUN", help="Only the history and the artifacts of a run.")] = None,
    since: Since = None,
    head: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A head that was exported earlier; repeatable.")
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The public key, a PEM file, to verify the signatures of heads with."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit code 1 also when something cannot be checked.")
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Prove the log and all that follows from it. Exit code 1 when anything is wrong; the report says where.

    Artifacts kept elsewhere that cannot be checked (their server does not answer, or its address is not public) are
    listed and counted apart.

    Example: orchestrator audit verify --head heads/2026-01-31.json --key auditor.pem.pub
    """
    from orchestrator.cli.inputs import read_run_id, read_settings, read_time
    from orchestrator.cli.local.audit import AuditScope, verify_log
    from orchestrator.cli.output.audit import print_audit

    scope = AuditScope(
        None if run is None else read_run_id(run),
        None if since is None else read_time(since),
        tuple(head or ()),
        key,
    )
    done = verify_log(read_settings(need_data=True, data_dir=data_dir), scope)
    print_audit(done, as_json=as_json)
    if done.findings or (strict and done.unchecked):
        raise typer.Exit(1)
