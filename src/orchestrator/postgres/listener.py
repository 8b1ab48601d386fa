"""Notifications: one connection per process listens and calls the registered callbacks, so that nothing has to poll."""

import asyncio
import logging
import select
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from time import monotonic

import psycopg
from psycopg import pq
from psycopg.pq.abc import PGconn
from psycopg.rows import TupleRow
from psycopg.sql import SQL, Identifier

from orchestrator.background.duty import DutyThread, OnRestart, ignore
from orchestrator.background.pauses import RareWarning
from orchestrator.postgres.connect import NETWORK_TIMEOUT_MS, BoundedConnection, end_when_client_is_gone, parameters
from orchestrator.postgres.sql import load_sql
from orchestrator.postgres.unavailable import DatabaseUnavailable

logger = logging.getLogger(__name__)

EVENTS = "orchestrator_events"
"""Events were appended; the payload is the new last position, or empty to make readers check the log."""
QUEUE = "orchestrator_queue"
"""A run was queued or released."""
CANCEL = "orchestrator_cancel"
"""A run was cancelled; the payload is its id."""
PROJECTED = "orchestrator_projected"
"""The read models caught up; the payload is the position they reached."""
FLIGHTS = "orchestrator_flights"
"""A step that other runs wait for is done; the payload is the MD5 of its cache key."""

CACHE = "orchestrator_cache"
"""Cached results of a tenant were invalidated; the payload is the tenant."""

KEYS = "orchestrator_keys"
"""An API key was changed; the payload is its id."""

FORMAT = "orchestrator_format"
"""Programs may now write a newer format; the payload is its number."""

PROGRESS = "orchestrator_progress"
"""The progress of executing steps was reported."""

LOGS = "orchestrator_logs"
"""Lines of a step's log were stored; the payload is the id of its run."""

DISPATCHES = "orchestrator_dispatches"
"""Attempts for other machines: the payload is `work:` and an executor that has new work, or `ended:` and a name."""

CHANNELS = (FORMAT, CACHE, KEYS, CANCEL, QUEUE, FLIGHTS, PROGRESS, LOGS, DISPATCHES, PROJECTED, EVENTS)
"""The order in which notifications that arrive together are delivered: invalidations first, log positions last."""

Callback = Callable[[str], None]

_SQL = load_sql(__file__)
_CHECK_MILLISECONDS = 250
_RECONNECT_SECONDS = 0.5
_MAX_DIGITS = 19


def wake(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *args: object) -> None:
    """Call a function on a loop from the listener's thread; do nothing if the loop is closed."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(function, *args)


def position_in(payload: str) -> int:
    """Return the position in a notification's payload, or 0 if it is not a position: any database user may notify."""
    return int(payload) if len(payload) < _MAX_DIGITS and payload.isascii() and payload.isdigit() else 0


class Listener:
    """A thread that delivers notifications to callbacks.

    Callbacks run on that thread and must return immediately. `on_lost` is called each time the connection is lost
    or cannot be opened. Each time it is opened, every callback is called, because notifications may have been missed:
    with the last position for `EVENTS`, with an empty payload otherwise.

    Args:
        conninfo: a connection string.
        on_lost: called when the connection is lost.
        network_timeout_ms: how long a dead connection may go unnoticed.
        on_restart: called when the thread failed and is restarted.
    """

    def __init__(
        self,
        conninfo: str,
        on_lost: Callable[[], object] | None = None,
        *,
        network_timeout_ms: int = NETWORK_TIMEOUT_MS,
        on_restart: OnRestart = ignore,
    ) -> None:
        self._conninfo = conninfo
        self._parameters = parameters(conninfo, network_timeout_ms)
        self._network_timeout_ms = network_timeout_ms
        self._silence_seconds = network_timeout_ms / 1000
        self._on_lost = on_lost
        self._callbacks: dict[str, list[Callback]] = {channel: [] for channel in CHANNELS}
        self._connected = threading.Event()
        self._warn = RareWarning(logger, "listening connection lost, reconnecting")
        self._duty = DutyThread("listener", self._serve, on_restart)

    @property
    def connected(self) -> bool:
        """Whether notifications arrive: if so, whatever was not notified has not happened yet."""
        return self._connected.is_set()

    def on(self, channel: str, callback: Callback) -> None:
        """Call `callback(payload)` for each notification of a channel."""
        self._callbacks[channel].append(callback)

    def start(self) -> None:
        """Start listening; return when connected, or after 5 seconds."""
        self._duty.start()
        self._connected.wait(5.0)

    def stop(self) -> None:
        """Stop the thread and close its connection."""
        self._duty.stop()

    def _serve(self) -> None:
        stopping = self._duty.stopping
        while not stopping.is_set():
            try:
                with closing(
                    BoundedConnection.connect(self._conninfo, autocommit=True, **self._parameters)
                ) as connection:
                    connection.answer_seconds = self._silence_seconds
                    end_when_client_is_gone(connection, self._network_timeout_ms)
                    self._listen(connection)
            except (psycopg.Error, DatabaseUnavailable) as error:
                self._warn(error)
                self._lost()
                stopping.wait(_RECONNECT_SECONDS)
            finally:
                self._connected.clear()

    def _lost(self) -> None:
        self._connected.clear()
        if self._on_lost is not None:
            self._on_lost()

    def _listen(self, connection: BoundedConnection[TupleRow]) -> None:
        for channel in self._callbacks:
            connection.execute(SQL("LISTEN {}").format(Identifier(channel)))
        row = connection.execute(_SQL.last_position).fetchone()
        position = str(row[0]) if row is not None else ""
        self._connected.set()
        for channel in self._callbacks:
            self._call(channel, [position if channel == EVENTS else ""])
        for channel, payloads in self._notifications(connection.pgconn):
            self._call(channel, payloads)

    def _notifications(self, pgconn: PGconn) -> Iterator[tuple[str, list[str]]]:
        """Yield the payloads that arrive, by channel, until the thread is stopped.

        This reads from the connection directly: psycopg's generator of notifications takes several times as long for
        each. When nothing has arrived for a while, the server is pinged.

        Raises:
            psycopg.OperationalError: the connection was lost.
            DatabaseUnavailable: the server does not answer the ping.
        """
        readable = select.poll()
        readable.register(pgconn.socket, select.POLLIN)
        heard_at, pinged = monotonic(), False
        while not self._duty.stopping.is_set():
            if not readable.poll(_CHECK_MILLISECONDS):
                silence = monotonic() - heard_at
                if pinged and silence > 2 * self._silence_seconds:
                    raise DatabaseUnavailable(f"no answer from the database for {silence:.0f} s")
                if not pinged and silence > self._silence_seconds:
                    pinged = True
                    _ping(pgconn)
                continue
            pgconn.consume_input()
            heard_at = monotonic()
            if pinged:
                pinged = not _was_answered(pgconn)
            waiting: dict[str, list[str]] = {}
            while (notification := pgconn.notifies()) is not None:
                waiting.setdefault(notification.relname.decode(), []).append(notification.extra.decode())
            yield from ((channel, waiting[channel]) for channel in CHANNELS if channel in waiting)

    def _call(self, channel: str, payloads: Sequence[str]) -> None:
        for callback in self._callbacks[channel]:
            for payload in payloads:
                try:
                    callback(payload)
                except Exception:
                    logger.exception("notification callback failed", extra={"channel": channel})


def _ping(pgconn: PGconn) -> None:
    """Send a bare Sync message, which the server answers without a transaction."""
    pgconn.enter_pipeline_mode()
    pgconn.pipeline_sync()
    pgconn.flush()


def _was_answered(pgconn: PGconn) -> bool:
    """Return whether the answer to the Sync has arrived; if so, leave pipeline mode."""
    if pgconn.is_busy():
        return False
    result = pgconn.get_result()
    if result is None or result.status != pq.ExecStatus.PIPELINE_SYNC:
        return False
    pgconn.exit_pipeline_mode()
    return True
