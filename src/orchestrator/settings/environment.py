"""The environment of this process: the prefix of our variables, secrets for skills, and removing what is secret."""

import ctypes
import os
import sys
from collections.abc import Sequence
from pathlib import Path

PREFIX = "ORCHESTRATOR_"
SECRET_PREFIX = f"{PREFIX}SECRET_"
"""The variable of a secret for skills is this and the secret's name."""

# Settings that a process which runs skills removes from its environment after reading them.
_FORGOTTEN = ("artifact_url", "archive_url", "cipher_key", "database_url", "key", "listen_url", "redis_url")


def forget_secrets() -> None:
    """Remove the settings that may contain a secret from the environment of this process.

    Then the child processes of Python skills do not inherit them. On Linux, they are also overwritten in the memory
    behind /proc/PID/environ, which shows the environment from the start of the process.
    """
    secrets = [name for name in os.environ if name.startswith(SECRET_PREFIX)]
    names = [*(f"{PREFIX}{name.upper()}" for name in _FORGOTTEN), *secrets]
    given = [name for name in names if os.environ.pop(name, None) is not None]
    if given and sys.platform == "linux":
        _overwrite([os.fsencode(name) for name in given])


def _overwrite(names: Sequence[bytes]) -> None:
    """Fill the values of variables in the initial environment with zeros."""
    try:
        # The 50th and 51st field of proc_pid_stat(5), counted after the program's name in parentheses.
        fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return
    start, end = int(fields[47]), int(fields[48])
    block = b"\0" + ctypes.string_at(start, end - start) if 0 < start < end else b""
    for name in names:
        place = block.find(b"\0" + name + b"=")
        if place >= 0:
            value = place + len(name) + 1  # offset in the process: after the `=`, without the byte prepended above
            length = block.find(b"\0", value + 1) - value - 1
            ctypes.memset(start + value, 0, max(0, length))


def secret_variables() -> dict[str, str]:
    """Return the values of the variables `ORCHESTRATOR_SECRET_NAME`, by NAME."""
    return {
        name.removeprefix(SECRET_PREFIX): value for name, value in os.environ.items() if name.startswith(SECRET_PREFIX)
    }
