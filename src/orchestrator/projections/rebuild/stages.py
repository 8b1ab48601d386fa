"""Progress reports of long operations."""

from collections.abc import Callable

OnStage = Callable[[str, int, int | None], None]
"""Called with what is being done, the amount done, and the total amount, or None if it is unknown."""

REPORT_EVENTS = 1_000
"""How many events are processed between two calls."""


def silent(_what: str, _done: int, _total: int | None) -> None:
    """Ignore progress reports."""
