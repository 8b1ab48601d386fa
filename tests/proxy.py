"""A TCP proxy before Postgres that can swallow what it is sent, as a network does that drops packets without a word."""

import selectors
import socket
import threading
from types import TracebackType
from typing import Self

from psycopg.conninfo import conninfo_to_dict

_CHUNK = 1 << 16


class SwallowingProxy:
    """Listens on a loopback port. While it swallows, connections stay open, and nothing gets through either way."""

    def __init__(self, database_url: str) -> None:
        parts = conninfo_to_dict(database_url)
        self._server = f"{parts['host']}/.s.PGSQL.{parts['port']}"
        self._name = f"postgresql://{parts['user']}@%s/{parts['dbname']}"
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._swallowing = threading.Event()
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
        """Let new connections through again; what was swallowed is lost, and its connections stay dead."""
        self._swallowing.clear()

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
        for one in [*self._peers, self._listening, self._stopping]:
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
        if self._swallowing.is_set():
            self._peers[client] = client  # kept open, and never read
            return
        server = socket.socket(socket.AF_UNIX)
        server.connect(self._server)
        for one, other in ((client, server), (server, client)):
            self._peers[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _carry(self, one: socket.socket) -> None:
        other = self._peers[one]
        try:
            data = one.recv(_CHUNK)
        except OSError:
            data = b""
        if self._swallowing.is_set():
            self.swallowed += len(data)
            for end in (one, other):  # dead for good, though nobody is told
                self._selector.unregister(end)
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
