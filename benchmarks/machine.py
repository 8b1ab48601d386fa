"""A description of the machine, without which a result is meaningless."""

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path


def describe() -> dict[str, str]:
    """Return the machine, the versions and the commit."""
    return {
        "cpu": _cpu(),
        "cores": str(os.cpu_count()),
        "memory": _memory(),
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "psycopg": version("psycopg"),
        "eventsourcing": version("eventsourcing"),
        "commit": _commit(),
    }


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _memory() -> str:
    kilobytes = int(Path("/proc/meminfo").read_text().split()[1])
    return f"{kilobytes / 1024 / 1024:.0f} GiB"


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    return answer.stdout.strip() or "unknown"
