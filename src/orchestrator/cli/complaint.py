"""What the terminal itself finds wrong."""

from collections.abc import Iterable
from difflib import get_close_matches


class Complaint(Exception):
    """Something the user can put right: what is wrong, and how."""

    def __init__(self, problem: str, fix: str = "") -> None:
        super().__init__(f"{problem.rstrip('.')}. {fix}" if fix else problem)


def unknown(what: str, name: str, known: Iterable[str], fix: str = "") -> Complaint:
    """Return the complaint about a name that stands for nothing, with the one that may have been meant."""
    close = get_close_matches(name, list(known), n=1)
    return Complaint(f"There is no {what} {name!r}", f"Did you mean {close[0]!r}?" if close else fix)
