"""What the terminal itself finds wrong."""

from collections.abc import Iterable

from orchestrator.domain.spelling import nearest


class Complaint(Exception):
    """Something the user can put right: what is wrong, and how."""

    def __init__(self, problem: str, fix: str = "") -> None:
        super().__init__(f"{problem.rstrip('.')}. {fix}" if fix else problem)


def unknown(what: str, name: str, known: Iterable[str], fix: str = "") -> Complaint:
    """Return the complaint about a name that stands for nothing, with the one that may have been meant."""
    meant = nearest(name, known)
    return Complaint(f"There is no {what} {name!r}", fix if meant is None else f"Did you mean {meant!r}?")


def sentence(said: str) -> str:
    """Return a message with a capital first, unless it begins with something to copy: an address, a path, an id."""
    first = said.split(maxsplit=1)[:1]
    return f"{said[:1].upper()}{said[1:]}" if first and first[0].rstrip(",:").isalpha() else said
