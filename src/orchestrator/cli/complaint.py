"""Errors that the command line itself finds."""

from collections.abc import Iterable

from orchestrator.domain.spelling import nearest


class Complaint(Exception):
    """An error that the user can fix: what is wrong, and how to fix it."""

    def __init__(self, problem: str, fix: str = "") -> None:
        super().__init__(f"{problem.rstrip('.')}. {fix}" if fix else problem)


def unknown(what: str, name: str, known: Iterable[str], fix: str = "") -> Complaint:
    """Return the error for an unknown name, suggesting the nearest known one, or else `fix`."""
    meant = nearest(name, known)
    return Complaint(f"Unknown {what} {name!r}", fix if meant is None else f"Did you mean {meant!r}?")


def sentence(message: str) -> str:
    """Return a message with its first letter capitalized, unless it begins with an address, a path or an id."""
    first = message.split(maxsplit=1)[:1]
    return f"{message[:1].upper()}{message[1:]}" if first and first[0].rstrip(",:").isalpha() else message
