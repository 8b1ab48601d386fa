"""Who asks."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the tenant they act for, and their name in the log."""

    tenant: str
    actor: str
