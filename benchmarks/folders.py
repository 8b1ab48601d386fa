"""Folders for what is measured: on disk while it is, gone afterwards."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def open_folder() -> Iterator[Path]:
    """A new folder that every system user may enter.

    Started by root, Postgres runs as another one; a data directory that one cannot reach would be kept elsewhere, and
    stay there.
    """
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
