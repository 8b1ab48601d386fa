"""The API key commands: create, list, revoke. They use the database directly, so that the first key can be made."""
# ruff: noqa: PLC0415 - `--help` must not import what a command needs

from typing import Annotated

import typer

from orchestrator.cli.options import AsJson, DataDir

Tenant = Annotated[
    str | None, typer.Option(metavar="TENANT", help="Tenant whose data the key can access (env: ORCHESTRATOR_TENANT).")
]


def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the key's user, recorded in the log.")],
    *,
    role: Annotated[
        str, typer.Option(help="viewer (reads), operator (runs and changes), admin, or executor (a pull worker).")
    ] = "viewer",
    pool: Annotated[str | None, typer.Option(metavar="POOL", help="The pool of an executor.")] = None,
    tenant: Tenant = None,
    expires: Annotated[
        str | None, typer.Option(metavar="AGE", help="Lifetime of the key: 12h, 90d. By default it does not expire.")
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Create an API key and print it. It is shown only once, because only its hash is stored.

    Example: orchestrator keys create deploy-bot --role operator --expires 90d
    """
    from orchestrator.cli.local.keys import make_key

    make_key(name, role, pool=pool, tenant=tenant, expires=expires, data_dir=data_dir, as_json=as_json)


def list_keys(
    tenant: Annotated[str | None, typer.Option(metavar="TENANT", help="Only keys of this tenant.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List API keys: prefix, name, tenant, role, state and expiry.

    Example: orchestrator keys list --tenant acme
    """
    from orchestrator.cli.local.keys import show_keys

    show_keys(tenant=tenant, data_dir=data_dir, as_json=as_json)


def revoke(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Prefix (ork_abcd1234) or id (abcd1234) of the key.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Revoke an API key immediately, in every process.

    Example: orchestrator keys revoke ork_abcd1234
    """
    from orchestrator.cli.local.keys import end_key

    end_key(key, data_dir=data_dir, as_json=as_json)
