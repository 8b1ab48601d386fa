"""The verbs about API keys: create, list, revoke. They work on the database itself, so the first key can be made."""
# ruff: noqa: PLC0415 - help must not wait for what a verb needs

from typing import Annotated

import typer

from orchestrator.cli.options import AsJson, DataDir

Tenant = Annotated[str | None, typer.Option(metavar="TENANT", help="Whose data it opens (ORCHESTRATOR_TENANT).")]


def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who will use it; the log names them so.")],
    *,
    role: Annotated[str, typer.Option(help="viewer (reads), operator (runs and changes) or admin.")] = "viewer",
    tenant: Tenant = None,
    expires: Annotated[
        str | None, typer.Option(metavar="AGE", help="End it after this time: 12h, 90d. It has no end otherwise.")
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make an API key and print it. It is shown once: only its hash is kept.

    Example: orchestrator keys create deploy-bot --role operator --expires 90d
    """
    from orchestrator.cli.local.keys import make_key

    make_key(name, role, tenant=tenant, expires=expires, data_dir=data_dir, as_json=as_json)


def list_keys(
    tenant: Annotated[str | None, typer.Option(metavar="TENANT", help="Only keys of this tenant.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List API keys: the part that may be shown, whose they are and when they end.

    Example: orchestrator keys list --tenant acme
    """
    from orchestrator.cli.local.keys import show_keys

    show_keys(tenant=tenant, data_dir=data_dir, as_json=as_json)


def revoke(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Its prefix (ork_abcd1234) or its id (abcd1234).")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """End an API key at once, in every process.

    Example: orchestrator keys revoke ork_abcd1234
    """
    from orchestrator.cli.local.keys import end_key

    end_key(key, data_dir=data_dir, as_json=as_json)
