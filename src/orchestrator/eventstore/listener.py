"""Wake-ups: one connection a process listens; whoever waits is called. Nothing polls in a hot loop."""

import asyncio
import logging
import select
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import psycopg
from psycopg.pq.abc import PGconn
from psycopg.sql import SQL, Identifier

from orchestrator.eventstore.sql import load_sql

logger = logging.getLogger(__name__)

EVENTS = "orchestrator_events"
"""Something was appended; the payload is the new last position, or empty: whoever reads the log shall look."""
QUEUE = "orchestrator_queue"
"""A run was queued or given back."""
CANCEL = "orchestrator_cancel"
"""A run was cancelled; the payload is its id."""
PROJECTED = "orchestrator_projected"
"""The read models caught up; the payload is the position they reached."""
FLIGHTS = "orchestrator_flights"
"""A step that others wait for is done; the payload is the MD5 of its cache key."""

CACHE = "orchestrator_cache"
"""Cached results of a tenant were invalidated; the payload is the tenant."""

KEYS = "orchestrator_keys"
"""An API key was changed; the payload is its id."""

CHANNELS = (CACHE, KEYS, CANCEL, QUEUE, FLIGHTS, PROJECTED, EVENTS)
"""In the order in which news that come together are handed on: what was withdrawn first, how far the log is last."""

Callback = Callable[[str], None]

_SQL = load_sql(__file__)
_CHECK_MILLISECONDS = 250
_RECONNECT_SECONDS = 0.5


def wake(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *args: object) -> None:
    """Call a function on a loop, from the listener's thread; nothing happens when the loop is gone."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(function, *args)


class Listener:
    """A thread that hands notifications on.

    Callbacks run on that thread and must return at once. `on_lost` is called each time the connection is lost
    or cannot be made. Each time it was made every callback is called, since notifications may have been missed:
    with the last position for `EVENTS`, else with an empty payload. `session` identifies the connection: as long as
    it is open, the process is alive.
    """

    def __init__(self, conninfo: str, on_lost: Callable[[], object] | None = None) -> None:
        self._conninfo = conninfo
        self._on_lost = on_lost
        self._callbacks: dict[str, list[Callback]] = {channel: [] for channel in CHANNELS}
        self._stopping = threading.Event()
        self._connected = threading.Event()
        self._thread: threading.Thread | None = None
        self.session: tuple[int, str] | None = None

    def on(self, channel: str, callback: Callback) -> None:
        """Call `callback(payload)` for each notification of a channel."""
        self._callbacks[channel].append(callback)

    def start(self) -> None:
        """Begin to listen; returns when the connection stands or 5 seconds have passed."""
        self._thread = threading.Thread(target=self._serve, name="listener", daemon=True)
        self._thread.start()
        self._connected.wait(5.0)

    def stop(self) -> None:
        """End the thread and its connection."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            try:
                with psycopg.connect(self._conninfo, autocommit=True, connect_timeout=5) as connection:
                    self._listen(connection)
            except psycopg.Error as error:
                logger.info("the listening connection was lost: %s", error)
                self.session = None
                if self._on_lost is not None:
                    self._on_lost()
                self._stopping.wait(_RECONNECT_SECONDS)

    def _listen(self, connection: "psycopg.Connection[tuple[object, ...]]") -> None:
        for channel in self._callbacks:
            connection.execute(SQL("LISTEN {}").format(Identifier(channel)))
        position = ""
        if (row := connection.execute(_SQL.session).fetchone()) is not None:
            self.session = (int(str(row[0])), str(row[1]))
            position = str(row[2])
        self._connected.set()
        for channel in self._callbacks:
            self._call(channel, [position if channel == EVENTS else ""])
        for channel, payloads in self._notifications(connection.pgconn):
            self._call(channel, payloads)

    def _notifications(self, pgconn: PGconn) -> Iterator[tuple[str, list[str]]]:
        """Yield what comes in, by channel, until told to stop.

        On the connection itself: psycopg's generator of notifications takes several times as long for each.

        Raises:
            psycopg.OperationalError: the connection was lost.
        """
        readable = select.poll()
        readable.register(pgconn.socket, select.POLLIN)
        while not self._stopping.is_set():
            if not readable.poll(_CHECK_MILLISECONDS):
                continue
            pgconn.consume_input()
            waiting: dict[str, list[str]] = {}
            while (notification := pgconn.notifies()) is not None:
                waiting.setdefault(notification.relname.decode(), []).append(notification.extra.decode())
            yield from ((channel, waiting[channel]) for channel in CHANNELS if channel in waiting)

    def _call(self, channel: str, payloads: Sequence[str]) -> None:
        for callback in self._callbacks[channel]:
            for payload in payloads:
                callback(payload)
