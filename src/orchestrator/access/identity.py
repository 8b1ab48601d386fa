"""Identities and roles of callers."""

from dataclasses import dataclass
from enum import IntEnum


class Role(IntEnum):
    """A role. Each role includes the permissions of the ones before it.

    An executor may take and report the attempts of its pool, and nothing else.
    """

    EXECUTOR = 0
    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3

    @property
    def word(self) -> str:
        """The name of the role, in lower case."""
        return self.name.lower()

    @classmethod
    def of(cls, word: str) -> "Role | None":
        """Return the role with a name, or None if there is none."""
        return _ROLES.get(word)


_ROLES = {role.word: role for role in Role}


@dataclass(frozen=True, slots=True)
class Identity:
    """An authenticated caller.

    `actor` is the name recorded in the log. `credential` identifies the credentials for rate limits; it is not a
    secret. `pool` is the only pool of an executor. `expires_at` is when the credentials expire, in milliseconds since
    1970 UTC.
    """

    tenant: str
    actor: str
    role: Role
    credential: str
    expires_at: int | None = None
    pool: str | None = None
