"""A TCP proxy before Postgres that can swallow what it is sent, as a network does that drops packets without a word."""

import selectors
import socket
import struct
import threading
from types import TracebackType
from typing import Self

from psycopg.conninfo import conninfo_to_dict

_CHUNK = 1 << 16


_RESET = struct.pack("ii", 1, 0)  # close at once, with RST


class SwallowingProxy:
    """Listens on a loopback port. While it swallows, connections stay open, and nothing gets through either way.

    While it refuses, new connections are reset, and those that stand go on.
    """

    def __init__(self, database_url: str) -> None:
        parts = conninfo_to_dict(database_url)
        self._server = f"{parts['host']}/.s.PGSQL.{parts['port']}"
        self._name = f"postgresql://{parts['user']}@%s/{parts['dbname']}"
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._swallowing = threading.Event()
        self._refusing = threading.Event()
        self._dead: list[socket.socket] = []
        self._peers: dict[socket.socket, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._stopping, self._stop = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, name="proxy", daemon=True)
        self.swallowed = 0

    def url(self, *others: "SwallowingProxy") -> str:
        """Leads to Postgres through this proxy, and through others if it cannot."""
        return self._name % ",".join(f"127.0.0.1:{one.port}" for one in (self, *others))

    def swallow(self) -> None:
        """From here on nothing gets through, also on connections that are made later."""
        self._swallowing.set()

    def pass_on(self) -> None:
        """Let new connections through again; what was swallowed is lost, and its connections stay dead.

        The server notices by itself that its end is dead, as it is told to; a proxy has to play that.
        """
        self._swallowing.clear()
        dead, self._dead = self._dead, []
        for end in dead:
            end.close()

    def refuse(self) -> None:
        """From here on new connections are refused."""
        self._refusing.set()

    def accept(self) -> None:
        """Accept new connections again."""
        self._refusing.clear()

    def __enter__(self) -> Self:
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._selector.register(self._stopping, selectors.EVENT_READ)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.close()
        self._thread.join()
        for one in [*self._peers, *self._dead, self._listening, self._stopping]:
            one.close()
        self._selector.close()

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._stopping:
                    return
                if key.fileobj is self._listening:
                    self._accept()
                else:
                    self._carry(key.fileobj)  # type: ignore[arg-type]

    def _accept(self) -> None:
        client, _ = self._listening.accept()
        if self._refusing.is_set():
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            client.close()
            return
        if self._swallowing.is_set():
            self._peers[client] = client  # kept open, and never read
            return
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(self._server)
        except OSError:  # it is down
            server.close()
            client.close()
            return
        for one, other in ((client, server), (server, client)):
            self._peers[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _carry(self, one: socket.socket) -> None:
        if one.fileno() < 0 or one not in self._selector.get_map():  # by what came before it in the same round
            return
        other = self._peers[one]
        try:
            data = one.recv(_CHUNK)
        except OSError:
            data = b""
        if self._swallowing.is_set():
            self.swallowed += len(data)
            for end in (one, other):  # dead for good, though nobody is told
                self._selector.unregister(end)
            self._dead.append(one if one.family == socket.AF_UNIX else other)
            return
        try:
            if data:
                other.sendall(data)
                return
        except OSError:
            pass
        for end in (one, other):
            self._selector.unregister(end)
            del self._peers[end]
            end.close()
