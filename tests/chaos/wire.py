"""A socket between a process and Postgres that now and then drops the connection: before a message passes, or
after it had its effect, with the answer."""

import random
import socket
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from psycopg.conninfo import conninfo_to_dict

_CHUNK = 1 << 16
_GREETING_CHUNKS = 8


class Wire:
    """Listens beside a server's Unix socket; `calm` lets everything pass, `once` is calm again after one loss."""

    def __init__(self, database_url: str, folder: Path, chance: random.Random, likelihood: float) -> None:
        parts = conninfo_to_dict(database_url)
        self._server = f"{parts['host']}/.s.PGSQL.{parts['port']}"
        self._path = folder / ".s.PGSQL.5432"
        self._chance = chance
        self._likelihood = likelihood
        self._listening = socket.socket(socket.AF_UNIX)
        self.url = (
            f"postgresql://{parts['user']}@/{quote(str(parts['dbname']), safe='')}"
            f"?host={quote(str(folder), safe='')}&port=5432"
        )
        self.calm = False
        self.once = False
        self.dropped_before = 0
        self.dropped_after = 0

    def __enter__(self) -> Self:
        self._listening.bind(str(self._path))
        self._listening.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        """Pass messages on in both directions until one end closes, or the dice say so."""
        with client, socket.socket(socket.AF_UNIX) as server, suppress(OSError):
            server.connect(self._server)
            doomed = threading.Event()
            answers = threading.Thread(target=self._answer, args=(server, client, doomed), daemon=True)
            answers.start()
            chunks = 0
            while data := client.recv(_CHUNK):
                chunks += 1
                dice = self._chance.random() / self._likelihood
                if self.calm or chunks <= _GREETING_CHUNKS or dice > 1 or doomed.is_set():
                    server.sendall(data)
                elif dice < 0.5:
                    self.dropped_before += 1
                    self.calm |= self.once
                    break
                else:
                    doomed.set()
                    self.calm |= self.once
                    server.sendall(data)
            for end in (client, server):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            answers.join()

    def _answer(self, server: socket.socket, client: socket.socket, doomed: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(_CHUNK):
                if doomed.is_set():
                    self.dropped_after += 1
                    break
                client.sendall(data)
        for end in (client, server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
