"""Check whether a process on this machine is still running, according to the kernel.

A pid can be reused, but a pid together with its process's start time cannot. The two identify a process permanently.
"""

import os
from pathlib import Path

_PROC = Path("/proc")  # Linux only; elsewhere there is no identity, and leases decide


def own_identity() -> str | None:
    """Return the identity of this process: boot id, pid namespace, pid and start time. None without /proc."""
    return _identity(os.getpid())


def has_ended(identity: str) -> bool:
    """Return whether a process has certainly ended. False for processes of another machine, boot or container."""
    place, pid, began = identity.rsplit(" ", 2)
    ours = own_identity()
    return ours is not None and ours.rsplit(" ", 2)[0] == place and _began(int(pid)) != began


def _identity(pid: int) -> str | None:
    began = _began(pid)
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        namespace = (_PROC / "self/ns/pid").readlink()
    except OSError:
        return None
    return None if began is None else f"{boot} {namespace} {pid} {began}"


def _began(pid: int) -> str | None:
    """Return when a process started, in clock ticks since boot; None when it has ended or is a zombie."""
    try:
        stat = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    # The program's name is in parentheses and may contain any character. After it come the state, 18 numbers and the
    # start time.
    state, *numbers = stat.rpartition(b")")[2].split()
    return None if state in {b"Z", b"X"} else numbers[18].decode()
