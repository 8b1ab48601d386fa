"""The audit commands: verify, head, export, import, keygen."""
# ruff: noqa: PLC0415 - `--help` must not import what a command needs

from pathlib import Path
from typing import Annotated, Literal

import typer

from orchestrator.cli.options import AsJson, DataDir

Format = Literal["jsonl", "parquet"]
Since = Annotated[str | None, typer.Option(metavar="TIME", help="Start at this time, such as 2026-01-31T12:00:00Z.")]


def head(
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the head to this file.")] = None,
    sign: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Sign the head with this private Ed25519 key (PEM file).")
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Print the head of the log's hash chain. Keep it elsewhere: `audit verify --head` then detects later changes.

    Example: orchestrator audit head --sign private.pem --output heads/2026-01-31.json
    """
    from orchestrator.cli.inputs import read_settings
    from orchestrator.cli.local.audit import make_head
    from orchestrator.cli.output.audit import print_head

    made = make_head(read_settings(need_data=True, data_dir=data_dir), output, sign)
    print_head(made, output, as_json=as_json)


def keygen(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="File for the private key; FILE.pub gets the public key.")
    ],
    as_json: AsJson = False,
) -> None:
    """Create an Ed25519 key pair to sign heads with. `openssl genpkey -algorithm ed25519` works as well.

    Example: orchestrator audit keygen auditor.pem
    """
    from orchestrator.cli.local.audit import make_keys
    from orchestrator.cli.output.audit import print_keys

    print_keys(*make_keys(file), as_json=as_json)


def export(
    *,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Write to this file; stdout by default.")] = None,
    form: Annotated[
        Format | None, typer.Option("--format", help="Format; by default parquet for a .parquet file, else jsonl.")
    ] = None,
    run: Annotated[str | None, typer.Option(metavar="RUN", help="Only events of this run and its workflow.")] = None,
    since: Since = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Only events before this time.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Write events exactly as they are stored. An export of the whole log can be imported elsewhere.

    Example: orchestrator audit export --format parquet --output log.parquet
    """
    from orchestrator.audit.transfer.export import EventSelection
    from orchestrator.cli.asking import find_runs_here
    from orchestrator.cli.inputs import read_settings, read_time
    from orchestrator.cli.local.audit import export_log
    from orchestrator.cli.output.audit import print_exported

    selection = EventSelection(
        None if run is None else find_runs_here(data_dir, run)[0],
        None if since is None else read_time(since),
        None if until is None else read_time(until),
    )
    settings = read_settings(need_data=True, data_dir=data_dir)
    made = export_log(settings, selection, output, form, as_json=as_json)
    if output is not None:
        print_exported(made, output, is_selection=selection != EventSelection(), as_json=as_json)


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An export of a whole log, JSON Lines or Parquet.")],
    verify: Annotated[
        bool, typer.Option("--verify", help="Audit the imported log; exit code 1 if there are findings.")
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Import an export into an empty database: every event at its position, then every read model.

    An interrupted import resumes where it stopped. An export contains no artifacts.

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
    run: Annotated[
        str | None, typer.Option(metavar="RUN", help="Verify only the history and the artifacts of this run.")
    ] = None,
    since: Since = None,
    head: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A head that was saved earlier. Can be repeated.")
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Public key (PEM file) to verify the signatures of heads."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with code 1 also if something cannot be checked.")
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Verify the log and everything derived from it. Exit code 1 if there are findings; the report lists them.

    External artifacts that cannot be checked (their server does not answer, or its address is not public) are listed
    and counted separately.

    Example: orchestrator audit verify --head heads/2026-01-31.json --key auditor.pem.pub
    """
    from orchestrator.cli.asking import find_runs_here
    from orchestrator.cli.inputs import read_settings, read_time
    from orchestrator.cli.local.audit import AuditScope, verify_log
    from orchestrator.cli.output.audit import print_audit

    scope = AuditScope(
        None if run is None else find_runs_here(data_dir, run)[0],
        None if since is None else read_time(since),
        tuple(head or ()),
        key,
    )
    done = verify_log(read_settings(need_data=True, data_dir=data_dir), scope)
    print_audit(done, as_json=as_json)
    if done.findings or (strict and done.unchecked):
        raise typer.Exit(1)
