"""Folders for what is measured or tested: on disk while it is, gone afterwards."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.postgres.embedded.account import Account


@contextmanager
def open_folder() -> Iterator[Path]:
    """A new folder that the user of root's Postgres may enter, also when `$TMPDIR` is closed to it.

    A data directory which that user cannot reach would be kept elsewhere, and stay there.
    """
    folder = make_open_folder()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make_open_folder() -> Path:
    """Make such a folder; removing it is the caller's."""
    folder = Path(tempfile.mkdtemp(prefix="orch-", dir=open_parent(Path(tempfile.gettempdir()))))
    folder.chmod(0o755)
    return folder


def open_parent(usual: Path) -> Path:
    """Return `usual` when the server's user may enter it, else a folder that everybody shares."""
    if os.geteuid() != 0:
        return usual
    account = Account.service()
    shared = (Path("/tmp"), Path("/var/tmp"))
    places = (usual.resolve(), *shared)
    return next((place for place in places if place.is_dir() and account.may(place, execute=True)), usual)
