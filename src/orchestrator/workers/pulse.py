"""Whether a process of this machine is still there, as the kernel tells.

A pulse names a process for ever: its number may be given to another one, its number and the moment it began are not.
"""

import os
from pathlib import Path

_PROC = Path("/proc")  # of Linux; elsewhere nobody has a pulse, and leases decide


def own_pulse() -> str | None:
    """Return the pulse of this process: the machine's boot, the pid namespace, the pid and the moment it began.

    None where the kernel does not tell.
    """
    return _pulse(os.getpid())


def has_ended(pulse: str) -> bool:
    """Whether a process has ended for certain; one of another machine, boot or container never has, as seen here."""
    place, pid, began = pulse.rsplit(" ", 2)
    ours = own_pulse()
    return ours is not None and ours.rsplit(" ", 2)[0] == place and _began(int(pid)) != began


def _pulse(pid: int) -> str | None:
    began = _began(pid)
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        namespace = (_PROC / "self/ns/pid").readlink()
    except OSError:
        return None
    return None if began is None else f"{boot} {namespace} {pid} {began}"


def _began(pid: int) -> str | None:
    """Return when a process began, in ticks since the boot; None when it is gone or only waits to be collected."""
    try:
        told = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    # The state and 18 numbers more follow the program's name, which is in brackets and may hold any character.
    state, *numbers = told.rpartition(b")")[2].split()
    return None if state in {b"Z", b"X"} else numbers[18].decode()
