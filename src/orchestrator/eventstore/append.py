"""The parts of a group commit: appends, each to one stream, with the futures of their callers."""

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
"""Rows for inline read models: `{operation: [row, ...]}`; see the SQL function `apply_inline`."""

OnWritten = Callable[[int], None]
"""Called with the position of an append's first event once the append is on disk."""

logger = logging.getLogger(__name__)

_MAX_EVENTS = 4000


@dataclass(slots=True, eq=False)
class Append:
    """One stream's part of a batch, with the future of its caller.

    Attributes:
        in_doubt: whether the append was sent but its response was lost, so that it may be in the log.
        failures: how often the append failed by itself: sent alone, while the database accepted other writes.
        commits_seen: the number of commits when the append last failed.
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
        """The id of the stream."""
        stream_id = self.stored[0].originator_id
        return stream_id if isinstance(stream_id, UUID) else UUID(stream_id)

    @property
    def first_version(self) -> int:
        """The version of the first event, 1-based."""
        return self.stored[0].originator_version

    def resolve(self, position: int) -> None:
        """Notify the caller that the append is in the log, its first event at this position."""
        if not self.waiter.done():
            self.waiter.set_result(position)
        if self.on_written is not None:
            try:
                self.on_written(position)
            except Exception:
                logger.exception("append observer failed")

    def reject(self, error: Exception) -> None:
        """Notify the caller why the append is not in the log, or why that is unknown."""
        if not self.waiter.done():
            self.waiter.set_exception(error)


def gather(waiting: deque[Append]) -> list[Append]:
    """Take as many appends from the queue as fit into one commit, dropping those whose caller no longer waits."""
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
