"""Programs and schemas of others that only tests use. They are downloaded once, into `.tools/`."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

import pytest

ROOT = Path(__file__).parents[1]
_FOLDER = ROOT / ".tools"
_WHEELS = Path(__file__).with_name("downloads.txt")


def wheel(name: str) -> Path:
    """Return the wheel of a package that `downloads.txt` pins with its hash."""

    def download(folder: Path) -> None:
        words = ["download", "-q", "--no-deps", "--only-binary=:all:", "--require-hashes", "-r", _WHEELS, "-d", folder]
        subprocess.run([sys.executable, "-m", "pip", *words], check=True, capture_output=True)

    (found,) = _kept(f"wheels-{_WHEELS.stat().st_size}", download).glob(f"{name}-*.whl")
    return found


def debian(package: str) -> Path:
    """Return a folder with the files of a Debian package. Nothing is installed, and no service is started."""
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        leave_out(f"{package}, which comes from Debian's packages")

    def download(folder: Path) -> None:
        fetch = ["apt-get", "-q", "download", package]
        if subprocess.run(fetch, cwd=folder, check=False, capture_output=True).returncode:
            subprocess.run(["apt-get", "-q", "update"], check=True, capture_output=True)
            subprocess.run(fetch, cwd=folder, check=True, capture_output=True)
        (archive,) = folder.glob("*.deb")
        subprocess.run(["dpkg", "-x", archive, folder], check=True, capture_output=True)
        archive.unlink()

    return _kept(package, download)


def leave_out(what: str) -> None:
    """Leave a test out, and say what was not tested; where nothing may be left out, fail."""
    if os.environ.get("TESTS_LEAVE_NOTHING_OUT"):
        pytest.fail(f"not tested: {what}")
    pytest.skip(f"not tested: {what}")


def _kept(name: str, make: Callable[[Path], None]) -> Path:
    """Return the folder of this name, made by `make` if it is not there, by one process at a time."""
    _FOLDER.mkdir(exist_ok=True)
    final = _FOLDER / name
    with (_FOLDER / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not final.exists():
            folder = Path(mkdtemp(prefix="making-", dir=_FOLDER))
            make(folder)
            folder.replace(final)
    return final
