"""A separate environment for each peer, created when first needed, with the versions of its requirements file."""

import hashlib
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).parent / "requirements"
ENVIRONMENTS = Path(__file__).parent.parent / ".peers"

_INSTALL_SECONDS = 900


class NotInstalledError(Exception):
    """A peer could not be installed; the message has pip's last output."""


def python_of(peer: str) -> Path:
    """Return the Python that has a peer installed.

    Args:
        peer: the name of a file in `requirements/`.

    Raises:
        NotInstalledError: the peer cannot be installed on this machine.
    """
    requirements = REQUIREMENTS / f"{peer}.txt"
    folder = ENVIRONMENTS / peer
    python = folder / "bin" / "python"
    stamp = folder / "installed"
    wanted = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    print(f"installing {peer} ...", file=sys.stderr, flush=True)
    _run([sys.executable, "-m", "venv", "--clear", str(folder)])
    _run([str(python), "-m", "pip", "install", "-q", "--no-deps", "-r", str(requirements)])
    stamp.write_text(wanted)
    return python


def version_of(peer: str) -> str:
    """Return the version that a peer's requirements file pins."""
    lines = (REQUIREMENTS / f"{peer}.txt").read_text().splitlines()
    return next(line.removeprefix(f"{peer}==") for line in lines if line.startswith(f"{peer}=="))


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_INSTALL_SECONDS)
    except subprocess.CalledProcessError as error:
        said = f"{error.stderr}{error.stdout}".strip().splitlines() or ["it ended without a word"]
        raise NotInstalledError(said[-1]) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalledError(str(error)) from error
