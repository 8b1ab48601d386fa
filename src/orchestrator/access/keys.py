"""API keys: `ork_<id>_<secret>`. The id is public. Only the SHA-256 of the whole key is stored.

The secret has 256 random bits, so guessing it is hopeless, and a slow hash would not add security.
"""

import re
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from typing import Any

from orchestrator.access.identity import Role
from orchestrator.postgres.database import Database
from orchestrator.postgres.sql import load_sql

PREFIX = "ork_"

_SQL = load_sql(__file__)
_LETTERS = string.ascii_lowercase + string.digits
_ID_LENGTH = 8
_SECRET_BYTES = 32
_FORM = re.compile(r"ork_([a-z0-9]{8})_[0-9a-f]{64}")
_NO_HASH = bytes(32)


@dataclass(frozen=True, slots=True)
class Key:
    """A stored key. Times are in milliseconds since 1970 UTC. `pool` is that of a pull worker."""

    id: str
    tenant: str
    name: str
    role: Role
    pool: str | None
    hash: bytes
    created_at: int
    created_by: str
    expires_at: int | None
    revoked_at: int | None

    @property
    def prefix(self) -> str:
        """The part of the key that is not secret."""
        return f"{PREFIX}{self.id}_..."

    def is_valid(self, now: int) -> bool:
        """Return whether the key is valid at a time: neither expired nor revoked."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def key_id(shown: str) -> str | None:
    """Return the id in the credentials of a caller, or None if they do not have the form of a key."""
    found = _FORM.fullmatch(shown)
    return None if found is None else found[1]


def fits(shown: str, key: Key | None) -> bool:
    """Return whether the credentials of a caller match a key. The time does not reveal whether the key exists."""
    return compare_digest(_hash(shown), _NO_HASH if key is None else key.hash)


class KeyStore:
    """The table of keys. Synchronous. Every process is notified of changes (channel `KEYS`)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        *,
        tenant: str,
        name: str,
        role: Role,
        created_by: str,
        now: int,
        expires_at: int | None = None,
        pool: str | None = None,
    ) -> tuple[Key, str]:
        """Create a key, and return it together with its full text. The text is not stored and cannot be recovered.

        A key with the role executor has a `pool`, and no other has.
        """
        identity = "".join(secrets.choice(_LETTERS) for _ in range(_ID_LENGTH))
        shown = f"{PREFIX}{identity}_{secrets.token_hex(_SECRET_BYTES)}"
        row = {
            "id": identity,
            "tenant": tenant,
            "name": name,
            "role": role.word,
            "pool": pool,
            "hash": _hash(shown),
            "created_at": now,
            "created_by": created_by,
            "expires_at": expires_at,
        }
        with self._database.connection() as connection:
            connection.execute(_SQL.create, row)
        return _key({**row, "revoked_at": None}), shown

    def find(self, identity: str) -> Key | None:
        """Return the key with an id, or None if there is none."""
        with self._database.connection() as connection:
            row = connection.execute(_SQL.find, {"id": identity}, prepare=True).fetchone()
        return None if row is None else _key(row)

    def list(self, tenant: str | None = None) -> list[Key]:
        """Return the keys of a tenant, or of all of them, oldest first."""
        with self._database.connection() as connection:
            return [_key(row) for row in connection.execute(_SQL["list"], {"tenant": tenant}).fetchall()]

    def revoke(self, identity: str, now: int) -> Key | None:
        """Revoke a key and return it, or None if there is none. A key that was already revoked keeps its time."""
        with self._database.connection() as connection:
            row = connection.execute(_SQL.revoke, {"id": identity, "now": now}).fetchone()
        return None if row is None else _key(row)


def _hash(shown: str) -> bytes:
    return sha256(shown.encode("utf-8", "surrogatepass")).digest()


def _key(row: Mapping[str, Any]) -> Key:
    role = Role.of(row["role"])
    if role is None:
        raise ValueError(f"key {row['id']} has the unknown role {row['role']!r}")
    return Key(**{**row, "role": role})
