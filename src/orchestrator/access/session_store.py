"""Sessions: the sign-ins of browsers, `ors_<secret>`. Only the SHA-256 of a session's id is stored."""

import re
import secrets
from dataclasses import dataclass
from hashlib import sha256

from orchestrator.access.identity import Identity, Role
from orchestrator.postgres.database import Database
from orchestrator.postgres.sql import load_sql

SESSION_SECONDS = 12 * 3600
"""The longest life of a session. It ends earlier if its key or token does."""
MAX_SESSIONS = 100
"""The most sessions of a key or of a subject of tokens. Another sign-in ends the oldest."""

_SQL = load_sql(__file__)
_KEY = "key:"
_SECRET_BYTES = 32
_FORM = re.compile(r"ors_[0-9a-f]{64}")
_MAX_REMOVED = 100


@dataclass(frozen=True, slots=True)
class BrowserSession:
    """A stored session. `key_id` is the id of its API key, or None if it belongs to a token.

    The identity is the one at sign-in. Its end, in milliseconds since 1970 UTC, is that of the session.
    """

    hash: bytes
    identity: Identity
    key_id: str | None
    expires_at: int


def session_hash(shown: str) -> bytes | None:
    """Return the hash by which a session is stored, or None if the text does not have the form of a session's id."""
    return sha256(shown.encode("ascii")).digest() if _FORM.fullmatch(shown) else None


class SessionStore:
    """The table of sessions. Synchronous. Every process is notified of a session that ends (channel `KEYS`)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, identity: Identity, now: int) -> tuple[BrowserSession, str]:
        """Create a session of a caller, and return it with its id, which is not stored and cannot be recovered."""
        shown = f"ors_{secrets.token_hex(_SECRET_BYTES)}"
        digest = session_hash(shown) or b""
        expires_at = now + SESSION_SECONDS * 1000
        if identity.expires_at is not None:
            expires_at = min(expires_at, identity.expires_at)
        key_id = identity.credential.removeprefix(_KEY) if identity.credential.startswith(_KEY) else None
        row = {
            "hash": digest,
            "tenant": identity.tenant,
            "credential": identity.credential,
            "key_id": key_id,
            "actor": identity.actor,
            "role": identity.role.word,
            "created_at": now,
            "expires_at": expires_at,
            "max_others": MAX_SESSIONS - 1,
            "max_removed": _MAX_REMOVED,
        }
        with self._database.connection() as connection:
            connection.execute(_SQL.create, row)
        return BrowserSession(digest, identity, key_id, expires_at), shown

    def find(self, digest: bytes) -> BrowserSession | None:
        """Return the session with a hash, or None if there is none."""
        with self._database.connection() as connection:
            row = connection.execute(_SQL.find, {"hash": digest}, prepare=True).fetchone()
        if row is None:
            return None
        role = Role.of(row["role"]) or Role.VIEWER
        identity = Identity(row["tenant"], row["actor"], role, row["credential"], row["expires_at"])
        return BrowserSession(bytes(row["hash"]), identity, row["key_id"], row["expires_at"])

    def end(self, tenant: str, digest: bytes) -> None:
        """End a session of a tenant. It does nothing if there is none."""
        with self._database.connection() as connection:
            connection.execute(_SQL.end, {"tenant": tenant, "hash": digest})
