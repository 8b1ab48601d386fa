"""The running server, as described by its pid file and its socket."""

import os
import signal
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Self

PORT = 5432
"""Only part of the socket's file name: the server does not listen on the network."""

_PROC = Path("/proc")  # on Linux; on other systems `ps` is used


@dataclass(frozen=True, slots=True)
class Postmaster:
    """The content of a pid file; properties check the socket and the process to verify it.

    Attributes:
        pid: Process id of the server.
        cluster: The cluster folder that it serves.
        sockets: The folder of its socket.
        ready: Whether it accepts connections: it is neither recovering nor shutting down.
    """

    pid: int
    cluster: Path
    sockets: Path
    ready: bool

    @classmethod
    def read(cls, file: Path, sockets: Path) -> Self | None:
        """Read a pid file or a socket lock file; return None if it does not exist.

        For a damaged file, `pid` is 0 and `cluster` is the empty path.
        """
        try:
            lines = os.fsdecode(file.read_bytes()).splitlines()
        except FileNotFoundError:
            return None
        # Lines: pid, cluster, start time, port, socket folder, address, shared memory, state. The first three
        # are written together, the others as the startup proceeds.
        if len(lines) < 2 or not lines[0].strip().isdigit():
            return cls(0, Path(), sockets, ready=False)
        found = Path(lines[4]) if len(lines) > 4 and lines[4] else sockets
        ready = len(lines) > 7 and lines[7].strip() == "ready"
        return cls(int(lines[0]), Path(lines[1]), found, ready)

    @property
    def listening(self) -> bool:
        """Whether a process listens on the socket. The kernel answers, so a suspended or busy server counts."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1)
            try:
                probe.connect(str(self.sockets / f".s.PGSQL.{PORT}"))
            except (FileNotFoundError, ConnectionRefusedError):
                return False
            except (TimeoutError, BlockingIOError):
                return True
        return True

    @property
    def alive(self) -> bool:
        """Whether the process with this id is a Postgres of this cluster, and not a process that reused the id."""
        return f"/postgres -D {self.cluster} " in _command(self.pid)

    @property
    def leaving(self) -> bool:
        """Whether the process with this id has released its memory, and so its command line, but has not ended yet."""
        return not _command(self.pid) and not ended(self.pid)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; do nothing if the server has already ended."""
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return


def pid_file(cluster: Path) -> Path:
    """Return the file in which the server of `cluster` writes its process id."""
    return cluster / "postmaster.pid"


def socket_lock(sockets: Path) -> Path:
    """Return the file in which the server that created the socket in `sockets` writes its process id."""
    return sockets / f".s.PGSQL.{PORT}.lock"


def ended(pid: int) -> bool:
    """Return whether a process has ended or is a zombie. Does not check which program has the id (see `alive`)."""
    if (_PROC / "self").exists():
        try:
            # The state follows the program's name, which is in parentheses and may contain any character.
            state = (_PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].strip()[:1]
        except OSError:
            return True
    else:
        state = _ps(pid, "state").strip()[:1]
    return state in {b"", b"Z", b"X"}


def _command(pid: int) -> str:
    """Return the command line of a process, empty if it has ended."""
    if (_PROC / "self").exists():
        try:
            return os.fsdecode((_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" "))
        except OSError:
            return ""
    return os.fsdecode(_ps(pid, "command"))


def _ps(pid: int, column: str) -> bytes:
    words = ["/bin/ps", "-o", f"{column}=", "-p", str(pid)]
    return subprocess.run(words, check=False, capture_output=True).stdout  # noqa: S603 - fixed words
