"""Whether a process of this machine still runs, according to the kernel.

A pid can be reused. A pid together with the time at which its process started cannot, so the two identify a process
for good.
"""

import os
from pathlib import Path

_PROC = Path("/proc")  # of Linux; elsewhere there is no identity, and leases decide


def own_identity() -> str | None:
    """Return the identity of this process: boot id, pid namespace, pid and start time. None without /proc."""
    return _identity(os.getpid())


def has_ended(identity: str) -> bool:
    """Whether a process has certainly ended. Never true of a process of another machine, boot or container."""
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
    """Return when a process started, in ticks since the boot; None when it has ended or is a zombie."""
    try:
        told = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    # The state and 18 numbers more follow the program's name, which is in brackets and may hold any character.
    state, *numbers = told.rpartition(b")")[2].split()
    return None if state in {b"Z", b"X"} else numbers[18].decode()
