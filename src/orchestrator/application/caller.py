"""The caller of an application call."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller: the tenant they act for, and their name in the log."""

    tenant: str
    actor: str
