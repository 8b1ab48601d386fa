"""The running server, as its pid file and its socket tell."""

import os
import signal
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Self

PORT = 5432
"""Only names the socket file: the server does not listen on the network."""

_PROC = Path("/proc")  # of Linux; elsewhere the same is asked of `ps`


@dataclass(frozen=True, slots=True)
class Postmaster:
    """What a pid file says; whether it is true is asked of the socket and of the process.

    Attributes:
        pid: Process id of the server.
        cluster: The folder that it serves.
        sockets: The folder of its socket.
        ready: Whether it takes connections: it is neither recovering nor on its way out.
    """

    pid: int
    cluster: Path
    sockets: Path
    ready: bool

    @classmethod
    def read(cls, file: Path, sockets: Path) -> Self | None:
        """Read a pid file or a socket's lock file, or None without one; a broken one names no cluster."""
        try:
            lines = os.fsdecode(file.read_bytes()).splitlines()
        except FileNotFoundError:
            return None
        # Lines: pid, cluster, start time, port, socket folder, address, shared memory, state. The first three
        # are written at once, the others as the server gets there.
        if len(lines) < 2 or not lines[0].strip().isdigit():
            return cls(0, Path(), sockets, ready=False)
        found = Path(lines[4]) if len(lines) > 4 and lines[4] else sockets
        ready = len(lines) > 7 and lines[7].strip() == "ready"
        return cls(int(lines[0]), Path(lines[1]), found, ready)

    @property
    def listening(self) -> bool:
        """Whether a process listens on the socket. The kernel answers, so a stopped or busy server counts."""
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
        """Whether the process of that id is a Postgres of this cluster, and not one that got its number later."""
        return f"/postgres -D {self.cluster} " in _command(self.pid)

    @property
    def leaving(self) -> bool:
        """Whether the process of that id has let go of its memory, and so of its command line, but is not gone yet."""
        return not _command(self.pid) and not ended(self.pid)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; a server that is already gone is fine."""
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return


def pid_file(cluster: Path) -> Path:
    """Where the server of `cluster` writes its process id."""
    return cluster / "postmaster.pid"


def socket_lock(sockets: Path) -> Path:
    """Where the server that made the socket in `sockets` writes its process id."""
    return sockets / f".s.PGSQL.{PORT}.lock"


def ended(pid: int) -> bool:
    """Whether a process is gone or only waits to be collected. Whose number it is, is not asked (see `alive`)."""
    if (_PROC / "self").exists():
        try:
            # The state follows the program's name, which is in brackets and may hold any character.
            state = (_PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].strip()[:1]
        except OSError:
            return True
    else:
        state = _ps(pid, "state").strip()[:1]
    return state in {b"", b"Z", b"X"}


def _command(pid: int) -> str:
    """The command line of a process, empty when it has ended."""
    if (_PROC / "self").exists():
        try:
            return os.fsdecode((_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" "))
        except OSError:
            return ""
    return os.fsdecode(_ps(pid, "command"))


def _ps(pid: int, column: str) -> bytes:
    words = ["/bin/ps", "-o", f"{column}=", "-p", str(pid)]
    return subprocess.run(words, check=False, capture_output=True).stdout  # noqa: S603 - fixed words
