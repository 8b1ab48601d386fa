"""The caller of a request."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """The tenant of a request, and the caller's name in the log.

    `role` is executor, viewer, operator or admin. `expires_at` is when the caller's credentials expire, in milliseconds
    since 1970 UTC; None if they do not. `authentication` is how the caller was authenticated: `key`, `token` or
    `session`, or `off` if there is no authentication. `pool` is the only pool of an executor.
    """

    tenant: str
    actor: str
    role: str = "admin"
    expires_at: int | None = None
    authentication: str = "off"
    pool: str | None = None
