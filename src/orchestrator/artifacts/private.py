"""Files and folders that only their owner may read, whatever the umask. What exists is left as it is."""

import os
from pathlib import Path
from typing import BinaryIO

FILE_MODE = 0o600
FOLDER_MODE = 0o700


def make_private_folder(folder: Path) -> None:
    """Make a folder, and each missing one above it.

    Raises:
        OSError: it cannot be made, or is no folder.
    """
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        try:
            each.mkdir(mode=FOLDER_MODE)
        except FileExistsError:  # another process was quicker
            continue
        each.chmod(FOLDER_MODE)
    if missing and not missing[0].is_dir():
        raise NotADirectoryError(f"{missing[0]} is not a folder")


def create_private_file(path: Path) -> BinaryIO:
    """Open a new file for writing.

    Raises:
        FileExistsError: there is something of that name; it is not followed and not replaced.
        OSError: it cannot be made.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    os.fchmod(descriptor, FILE_MODE)
    return os.fdopen(descriptor, "wb")
