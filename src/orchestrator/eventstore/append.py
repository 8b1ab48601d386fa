"""What goes into one commit: appends, each of one stream, and whoever waits for them."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from eventsourcing.persistence import StoredEvent

Inline = Mapping[str, Sequence[Any]]
"""Rows for inline read models: `{what is to be done: [row, ...]}`; see the SQL function `apply_inline`."""

OnWritten = Callable[[int], None]
"""Called with the position of an append's first event once it is on disk."""

Outcome = int | Exception

_MOST_EVENTS = 4000


@dataclass(slots=True, eq=False)
class Append:
    """One stream's share of a batch and whoever waits for it. `in_doubt`: it may have been written already."""

    stored: Sequence[StoredEvent]
    inline: Inline | None
    loop: asyncio.AbstractEventLoop
    waiter: "asyncio.Future[int]"
    on_written: OnWritten | None = None
    in_doubt: bool = False

    @property
    def stream_id(self) -> UUID:
        """The stream that is appended to."""
        stream_id = self.stored[0].originator_id
        return stream_id if isinstance(stream_id, UUID) else UUID(stream_id)


def gather(waiting: deque[Append]) -> list[Append]:
    """Take from what waits as much as goes into one commit, without those that nobody waits for any more."""
    batch: list[Append] = []
    events = 0
    while waiting and events < _MOST_EVENTS:
        append = waiting.popleft()
        if not append.waiter.cancelled():
            batch.append(append)
            events += len(append.stored)
    return batch


def positions(batch: Sequence[Append], first: int) -> list[Outcome]:
    """Return the position of the first event of each append of a batch that was written from `first` on."""
    found: list[Outcome] = []
    for append in batch:
        found.append(first)
        first += len(append.stored)
    return found


def tell(batch: Sequence[Append], outcomes: Sequence[Outcome]) -> None:
    """Tell whoever waits, each on their own loop; every loop is woken once."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[int], Outcome]]] = {}
    for append, outcome in zip(batch, outcomes, strict=True):
        by_loop.setdefault(append.loop, []).append((append.waiter, outcome))
    for loop, answers in by_loop.items():
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(_resolve, answers)


def tell_here(batch: Sequence[Append], outcomes: Sequence[Outcome]) -> None:
    """Tell whoever waits on the loop that this is called on."""
    _resolve([(append.waiter, outcome) for append, outcome in zip(batch, outcomes, strict=True)])


def _resolve(answers: Sequence[tuple["asyncio.Future[int]", Outcome]]) -> None:
    for waiter, outcome in answers:
        if waiter.done():
            continue
        if isinstance(outcome, Exception):
            waiter.set_exception(outcome)
        else:
            waiter.set_result(outcome)


def merged(parts: Iterable[Inline | None]) -> str | None:
    """Return the inline rows of a batch as one JSON text, or None when there are none."""
    merged: dict[str, list[Any]] = {}
    for part in parts:
        for name, rows in (part or {}).items():
            merged.setdefault(name, []).extend(rows)
    return orjson.dumps(merged).decode() if merged else None
