"""Who somebody is, and what they may do."""

from dataclasses import dataclass
from enum import IntEnum


class Role(IntEnum):
    """What somebody may do; each may do what those before it may."""

    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3

    @property
    def word(self) -> str:
        """The role's name as people write it."""
        return self.name.lower()

    @classmethod
    def of(cls, word: str) -> "Role | None":
        """Return the role of a name, or None."""
        return _ROLES.get(word)


_ROLES = {role.word: role for role in Role}


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody who showed who they are.

    `actor` is their name in the log, `credential` stands for what they showed (its rate is limited; it is no
    secret), `expires_at` is when that ends, in milliseconds since 1970 UTC.
    """

    tenant: str
    actor: str
    role: Role
    credential: str
    expires_at: int | None = None
