"""The nursery of this process: a fork server for the keepers of its programs. See `keeper`. Linux only."""

import asyncio
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from contextlib import closing, suppress

from orchestrator.skills import keeper

IS_AVAILABLE = sys.platform == "linux" and bool(sys.executable)

_BUSY_SECONDS = 0.01

_lock = threading.Lock()
_open: list["_Nursery"] = []  # empty, or the one nursery of this process


async def fork_keeper(fds: Sequence[int]) -> None:
    """Fork a keeper and pass it four file descriptors: its control socket, and stdin, stdout and stderr of the program.

    Raises:
        OSError: no process can be started.
    """
    while not _sent(fds):  # noqa: ASYNC110 - no event signals that the socket is writable
        await asyncio.sleep(_BUSY_SECONDS)  # many programs start at the same time, and each takes about a millisecond


def close_nursery() -> None:
    """End the nursery of this process; the next program starts a new one."""
    with _lock:
        while _open:
            _open.pop().close()


def _sent(fds: Sequence[int]) -> bool:
    with _lock:
        if _open and not _open[0].is_ours:
            _open.clear()  # the parent's, copied by a fork
        if _open and not _open[0].is_alive:
            _open.pop().close()
        if not _open:
            _open.append(_Nursery())
        return _open[0].send(fds)


class _Nursery:
    def __init__(self) -> None:
        self._owner = os.getpid()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        try:
            with closing(theirs):
                self._pid = os.posix_spawn(
                    sys.executable,
                    [sys.executable, "-I", "-S", "-X", "utf8", keeper.__file__],
                    {},  # an empty environment: ours may contain secrets
                    file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), 0)],
                    setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP],
                )
        except OSError:
            self._socket.close()
            raise

    @property
    def is_ours(self) -> bool:
        """Whether this process started the nursery."""
        return self._owner == os.getpid()

    @property
    def is_alive(self) -> bool:
        """Whether the nursery is running; a program of the same user can kill it."""
        try:
            return os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        except ChildProcessError:
            return False

    def send(self, fds: Sequence[int]) -> bool:
        """Request a keeper; return False if the nursery cannot take the message now."""
        try:
            socket.send_fds(self._socket, [b"+"], fds)
        except (BlockingIOError, ConnectionError):
            return False
        return True

    def close(self) -> None:
        """End the nursery; its keepers continue until their programs have ended."""
        self._socket.close()
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
