"""Temporary folders for benchmarks and tests."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.postgres.embedded.account import Account


@contextmanager
def open_folder() -> Iterator[Path]:
    """Yield a new folder that the user of root's Postgres can enter, even if it cannot enter `$TMPDIR`.

    A cluster whose user cannot enter the data directory would be stored elsewhere, and never be removed.
    """
    folder = make_open_folder()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make_open_folder() -> Path:
    """Create and return such a folder; the caller must remove it."""
    folder = Path(tempfile.mkdtemp(prefix="orch-", dir=open_parent(Path(tempfile.gettempdir()))))
    folder.chmod(0o755)
    return folder


def open_parent(usual: Path) -> Path:
    """Return `usual` if the server's user can enter it, otherwise a folder open to everybody."""
    if os.geteuid() != 0:
        return usual
    account = Account.service()
    shared = (Path("/tmp"), Path("/var/tmp"))
    places = (usual.resolve(), *shared)
    return next((place for place in places if place.is_dir() and account.may(place, execute=True)), usual)
