"""What goes into one commit: appends, each of one stream, and whoever waits for them."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from eventsourcing.persistence import StoredEvent

Inline = Mapping[str, Sequence[Any]]
"""Rows for inline read models: `{what is to be done: [row, ...]}`; see the SQL function `apply_inline`."""

OnWritten = Callable[[int], None]
"""Called with the position of an append's first event once it is on disk."""

logger = logging.getLogger(__name__)

_MAX_EVENTS = 4000


@dataclass(slots=True, eq=False)
class Append:
    """One stream's share of a batch and whoever waits for it.

    Attributes:
        in_doubt: it was sent and its answer was lost, so it may be in the log.
        failures: how often it failed for its own part: sent alone, while the database wrote otherwise.
        commits_seen: how many commits there had been when it last failed.
    """

    stored: Sequence[StoredEvent]
    inline: Inline | None
    waiter: "asyncio.Future[int]"
    on_written: OnWritten | None = None
    in_doubt: bool = False
    failures: int = 0
    commits_seen: int = 0

    @property
    def stream_id(self) -> UUID:
        """The stream that is appended to."""
        stream_id = self.stored[0].originator_id
        return stream_id if isinstance(stream_id, UUID) else UUID(stream_id)

    @property
    def first_version(self) -> int:
        """The version of its first event, 1-based."""
        return self.stored[0].originator_version

    def resolve(self, position: int) -> None:
        """Tell whoever waits that it is in the log, its first event at this position."""
        if not self.waiter.done():
            self.waiter.set_result(position)
        if self.on_written is not None:
            try:
                self.on_written(position)
            except Exception:
                logger.exception("an observer of appends failed")

    def reject(self, error: Exception) -> None:
        """Tell whoever waits why it is not in the log, or why nobody knows."""
        if not self.waiter.done():
            self.waiter.set_exception(error)


def gather(waiting: deque[Append]) -> list[Append]:
    """Take from what waits as much as goes into one commit, without those that nobody waits for any more."""
    batch: list[Append] = []
    events = 0
    while waiting and events < _MAX_EVENTS:
        append = waiting.popleft()
        if not append.waiter.done():
            batch.append(append)
            events += len(append.stored)
    return batch


def merged(parts: Iterable[Inline | None]) -> str | None:
    """Return the inline rows of a batch as one JSON text, or None when there are none."""
    merged: dict[str, list[Any]] = {}
    for part in parts:
        for name, rows in (part or {}).items():
            merged.setdefault(name, []).extend(rows)
    return orjson.dumps(merged).decode() if merged else None
