"""Create, list and revoke API keys in the database."""

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestrator.access.identity import Role
from orchestrator.access.keys import Key, KeyStore
from orchestrator.bootstrap.core import open_core
from orchestrator.cli.actor import actor_name
from orchestrator.cli.complaint import Complaint
from orchestrator.cli.inputs import read_age, read_settings
from orchestrator.cli.logging import configure_logging
from orchestrator.cli.output.terminal import print_json, print_line, print_table
from orchestrator.projections.views.values import timestamp
from orchestrator.settings import Settings

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._@+-]{0,99}")
_POOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_GIVEN = re.compile(r"(?:ork_)?([a-z0-9]{8})(?:_.*)?")


def make_key(
    name: str,
    role: str,
    *,
    tenant: str | None,
    expires: str | None,
    data_dir: Path | None,
    as_json: bool,
    pool: str | None = None,
) -> None:
    """Create a key and print it, alone on stdout. Its role and tenant are printed on stderr.

    Raises:
        Complaint: the name, role, pool or age is invalid, or another valid key of the tenant has the name. Names are
            unique because the log records them as actors.
        SettingsError: the tenant is invalid.
    """
    if not _NAME.fullmatch(name):
        raise Complaint(
            f"Invalid name {name!r}",
            "Use up to 100 letters, digits, spaces and . _ @ + -, starting with a letter or a digit.",
        )
    known = Role.of(role)
    if known is None:
        raise Complaint(f"Unknown role {role!r}", f"Use --role {' or '.join(each.word for each in Role)}.")
    if (known is Role.EXECUTOR) != (pool is not None):
        raise Complaint("A key of a pull worker has a pool, and no other key has", "Use --role executor --pool POOL.")
    if pool is not None and not _POOL.fullmatch(pool):
        raise Complaint(f"Invalid pool {pool!r}", "Use up to 63 letters, digits and . _ -")
    seconds = None if expires is None else read_age(expires)
    with _open(data_dir, need_data=False, tenant=tenant) as (settings, keys):
        now = _now()
        for other in keys.list(settings.tenant):
            if other.name == name and other.is_valid(now):
                raise Complaint(
                    f"The key {other.prefix} of tenant {settings.tenant} already has the name {name!r}",
                    f"Choose another name, or revoke that key first: `orchestrator keys revoke {other.id}`.",
                )
        key, shown = keys.create(
            tenant=settings.tenant,
            name=name,
            role=known,
            pool=pool,
            created_by=actor_name(),
            now=now,
            expires_at=None if seconds is None else now + round(seconds * 1000),
        )
    if as_json:
        print_json({**_view(key), "key": shown})
        return
    print_line(shown)
    sys.stderr.write(
        f"This key has the role {known.word} in the tenant {key.tenant}. It is not shown again. "
        f"Revoke it with `orchestrator keys revoke {key.id}`.\n"
    )


def show_keys(*, tenant: str | None, data_dir: Path | None, as_json: bool) -> None:
    """Print keys, oldest first."""
    with _open(data_dir, tenant=tenant) as (_, keys):
        found = [_view(key) for key in keys.list(tenant)]
    if as_json:
        print_json({"keys": found})
        return
    columns = ("prefix", "name", "tenant", "role", "state", "expiresAt")
    rows = [[str(view[column] or "") for column in columns] for view in found]
    print_table(("KEY", "NAME", "TENANT", "ROLE", "STATE", "EXPIRES"), rows, empty="no keys")


def end_key(given: str, *, data_dir: Path | None, as_json: bool) -> None:
    """Revoke a key, given its prefix or id.

    Raises:
        Complaint: the key does not exist.
    """
    named = _GIVEN.fullmatch(given)
    if named is None:
        raise Complaint("This is neither the prefix nor the id of a key", "List keys with `orchestrator keys list`.")
    with _open(data_dir) as (_, keys):
        key = keys.revoke(named[1], _now())
    if key is None:
        raise Complaint(f"Unknown key {named[1]!r}", "List keys with `orchestrator keys list`.")
    if as_json:
        print_json(_view(key))
    else:
        print_line(f"revoked {key.prefix} ({key.name})")


@contextmanager
def _open(
    data_dir: Path | None, *, need_data: bool = True, tenant: str | None = None
) -> Iterator[tuple[Settings, KeyStore]]:
    settings = read_settings(need_data=need_data, data_dir=data_dir, tenant=tenant)
    configure_logging(settings, quiet=True)
    with open_core(settings) as core:
        yield settings, core.keys


def _view(key: Key) -> dict[str, Any]:
    return {
        "id": key.id,
        "prefix": key.prefix,
        "name": key.name,
        "tenant": key.tenant,
        "role": key.role.word,
        "pool": key.pool,
        "state": "revoked" if key.revoked_at is not None else "valid" if key.is_valid(_now()) else "expired",
        "createdAt": timestamp(key.created_at),
        "createdBy": key.created_by,
        "expiresAt": timestamp(key.expires_at),
        "revokedAt": timestamp(key.revoked_at),
    }


def _now() -> int:
    return time.time_ns() // 1_000_000
