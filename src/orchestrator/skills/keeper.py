"""Run programs so that all processes they start are ended with them. Linux only.

    worker --> nursery --> keeper --> program --> its descendants

This file is also a program, the nursery (a fork server): `python -I -S keeper.py`, with a socket to its worker as
stdin. The nursery is small, so that it forks quickly, and holds no secrets that programs could read from a parent
process. For each program it forks a keeper, which is a child subreaper (prctl(2)). Descendants of the program that
leave its process group or session, such as daemons, remain descendants of the keeper. The keeper kills them when the
program has ended, when the worker requests it, and when the worker has ended.

This file imports only a few modules of the standard library, so that the nursery stays small.
"""

import ctypes
import errno
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any

ASK, KILL = b"T", b"K"
"""The messages of a worker to a keeper: ask the program to stop (ASK), or kill it with all that it started (KILL)."""

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_CAPBSET_DROP = 24
_PR_SET_CHILD_SUBREAPER = 36
_CAP_SYS_PTRACE = 19
_CAP_PERFMON = 38
_LENGTH = struct.Struct("!I")
_TIMEOUT_SECONDS = 10.0
_PAUSE_SECONDS = 0.001


def adopt_orphans() -> None:
    """Make this process the new parent of every descendant whose parent ends."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def end_with_parent() -> None:
    """Have the kernel kill this process when its parent ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def hide_memory() -> None:
    """Hide this process's entries in /proc (environ, mem, maps, fd) from other processes of the same user.

    Only processes with CAP_SYS_PTRACE, such as root's, can read them. Core dumps and debuggers are disabled as well.
    """
    _prctl(_PR_SET_DUMPABLE, 0)


def end_descendants(spare: Collection[int] = (), timeout_seconds: float = _TIMEOUT_SECONDS) -> bool:
    """Kill all descendants of this process, except the children to `spare` and their descendants.

    Returns:
        Whether all have ended. False if one is left after `timeout_seconds`: a process that hangs in the kernel or
        belongs to another user cannot be ended.
    """
    until = time.monotonic() + timeout_seconds
    pause = _PAUSE_SECONDS
    while not _is_childless(spare) and (below := _descendants(spare)):
        if time.monotonic() > until:
            return False
        for pid in below:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(pause)
        pause = min(pause * 2, 0.1)
    return True


def tend(program: int, orders: int, wakeup: int, ask: Callable[[int, int], None] = os.killpg) -> int:
    """Wait until a child has ended, kill all descendants of this process, and return the child's wait status.

    Args:
        program: the pid of the child.
        orders: a socket or pipe from the worker, which receives ASK or KILL; end of file means KILL.
        wakeup: a file descriptor that becomes readable with each SIGCHLD.
        ask: sends SIGTERM, either to the process group that the child leads or to the child alone.
    """
    waiting = select.poll()
    waiting.register(orders, select.POLLIN)
    waiting.register(wakeup, select.POLLIN)
    status = None
    while status is None:
        for fd, _ in waiting.poll():
            message = _read(fd)
            if fd == wakeup:
                continue
            if message == ASK:
                with suppress(ProcessLookupError, PermissionError):
                    ask(program, signal.SIGTERM)
            else:
                os.kill(program, signal.SIGKILL)
                waiting.unregister(orders)
        status = _collect(program)
    end_descendants()
    return status


def on_child_signals() -> int:
    """Return a file descriptor that becomes readable with each SIGCHLD."""
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    return readable


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 512)
    except ConnectionError:
        return b""


def _collect(program: int) -> int | None:
    """Reap the children that have ended; return the program's wait status if it is among them."""
    found = None
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == program:
                found = ended[1]
    return found


def _is_childless(spare: Collection[int]) -> bool:
    """Reap the children that have ended, except those to spare; return whether certainly none is left."""
    if spare:
        for pid, parent in _parents().items():
            if parent == os.getpid() and pid not in spare:
                with suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
        return False
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return True
    return False


def _descendants(spare: Collection[int]) -> list[int]:
    children: dict[int, list[int]] = {}
    for pid, parent in _parents().items():
        children.setdefault(parent, []).append(pid)
    found = [pid for pid in children.get(os.getpid(), ()) if pid not in spare]
    for pid in found:  # the list grows during the loop
        found += children.get(pid, ())
    return found


def _parents() -> dict[int, int]:
    """Return the parent pid of each visible process."""
    parents: dict[int, int] = {}
    try:
        names = os.listdir("/proc")  # noqa: PTH208 - pathlib is slow to import and slow for many names
    except OSError:
        return parents  # /proc is not mounted: no process can be found
    for name in names:
        if name.isdecimal():
            with suppress(OSError):
                with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123 - the same
                    # The program's name is in parentheses and may contain any character.
                    _, parent = file.read().rpartition(b")")[2].split()[:2]
                parents[int(name)] = int(parent)
    return parents


def _prctl(option: int, value: int) -> None:
    """Set an attribute of this process; ignore a refusal of the kernel."""
    ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))


def _keep(control: socket.socket, stdio: list[int]) -> None:
    """Run one program as requested by the worker, and report how it ended."""
    adopt_orphans()
    wakeup = on_child_signals()
    try:
        program = _start(json.loads(_received(control)), stdio)
    except EOFError:
        return
    except (OSError, ValueError) as error:
        number = error.errno if isinstance(error, OSError) else None
        _send(control, {"errno": number or errno.EINVAL, "error": getattr(error, "strerror", None) or str(error)})
        return
    for fd in stdio:
        os.close(fd)
    # Popen must not wait for the program: `tend` waits for all children, and only one of the two can reap it.
    _send(control, {"status": tend(program, control.fileno(), wakeup)})


def _start(wanted: Mapping[str, Any], stdio: list[int]) -> int:
    stdin, stdout, stderr = stdio
    started = subprocess.Popen(  # noqa: S603 - running programs is what skills are for
        wanted["command"],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        cwd=wanted["folder"],
        env=wanted["env"],
        start_new_session=True,
    )
    started.returncode = 0  # mark it as ended, so that Popen does not wait for it when it is garbage collected
    return started.pid


def _received(control: socket.socket) -> bytes:
    """Return a message that is sent after its length; raise EOFError if the socket is closed before its end."""
    data = b""
    wanted = _LENGTH.size
    while len(data) < wanted:
        chunk = control.recv(wanted - len(data))
        if not chunk:
            raise EOFError
        data += chunk
        if len(data) == _LENGTH.size and wanted == _LENGTH.size:
            wanted += _LENGTH.unpack(data)[0]
    return data[_LENGTH.size :]


def framed(message: Mapping[str, Any]) -> bytes:
    """Return a message in the format that `_keep` reads: its length, then JSON."""
    data = json.dumps(message).encode()
    return _LENGTH.pack(len(data)) + data


def _send(control: socket.socket, message: Mapping[str, Any]) -> None:
    with suppress(OSError):
        control.sendall(json.dumps(message).encode() + b"\n")


def _nursery(worker: socket.socket) -> None:
    """Fork a keeper for each message of the worker, until the worker closes the socket.

    A message is one byte and four file descriptors: the keeper's control socket, and stdin, stdout and stderr of the
    program.
    """
    adopt_orphans()
    for capability in (_CAP_SYS_PTRACE, _CAP_PERFMON):  # programs run as root cannot read our memory either
        _prctl(_PR_CAPBSET_DROP, capability)
    wakeup = on_child_signals()
    keepers: set[int] = set()
    waiting = select.poll()
    waiting.register(worker, select.POLLIN)
    waiting.register(wakeup, select.POLLIN)
    while True:
        for fd, _ in waiting.poll():
            if fd == wakeup:
                os.read(wakeup, 512)
                _collect_keepers(keepers)
                continue
            message, fds, _, _ = socket.recv_fds(worker, 1, 4)
            if not message:
                return
            _begin(worker, fds, keepers)
            for received in fds:
                os.close(received)


def _begin(worker: socket.socket, fds: list[int], keepers: set[int]) -> None:
    if len(fds) != 4:
        return
    with socket.socket(fileno=os.dup(fds[0])) as control:
        try:
            pid = os.fork()
        except OSError as error:
            _send(control, {"errno": error.errno, "error": error.strerror})
            return
        if pid:
            keepers.add(pid)
            return
        worker.close()
        os.close(fds[0])
        try:
            _keep(control, fds[1:])
        except Exception as error:  # noqa: BLE001 - the forked copy of the nursery must end here
            sys.stderr.write(f"the keeper of a program failed: {error!r}\n")
        finally:
            os._exit(0)


def _collect_keepers(keepers: set[int]) -> None:
    """Reap keepers that have ended. If one was killed, its processes became ours: kill them."""
    was_killed = False
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            was_killed |= ended[0] in keepers and os.WIFSIGNALED(ended[1])
            keepers.discard(ended[0])
    if was_killed:
        end_descendants(spare=keepers, timeout_seconds=1.0)


if __name__ == "__main__":
    with suppress(OSError):
        os.setsid()
    from_worker = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    _nursery(from_worker)
