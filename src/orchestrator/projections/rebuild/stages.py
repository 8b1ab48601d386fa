"""How long work tells how far it is."""

from collections.abc import Callable

OnStage = Callable[[str, int, int | None], None]
"""Called with what is being done, how much of it is, and how much there is in all, where that is known."""

REPORT_EVENTS = 1_000
"""How many events go by between two calls."""


def silent(_what: str, _done: int, _total: int | None) -> None:
    """Tell nobody."""
