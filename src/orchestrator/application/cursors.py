"""Cursors of run lists. They are opaque to clients, and encode the log position of the last run of a page."""

from base64 import urlsafe_b64decode, urlsafe_b64encode

from orchestrator.application.errors import InvalidRequest
from orchestrator.domain.errors import Fault

_KIND = "runs:"
_MOST = 2**63 - 1


def to_cursor(position: int) -> str:
    """Return the cursor for a log position."""
    return urlsafe_b64encode(f"{_KIND}{position}".encode()).decode().rstrip("=")


def from_cursor(cursor: str) -> int:
    """Return the log position of a cursor.

    Raises:
        InvalidRequest: the cursor is not one that `to_cursor` returns.
    """
    try:
        text = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)).decode("ascii")
        position = int(text.removeprefix(_KIND))
    except ValueError:
        position = 0
    if not 0 < position <= _MOST or to_cursor(position) != cursor:
        raise InvalidRequest([Fault("cursor", "is not a cursor returned by this API")])
    return position
