"""Create files and folders that only their owner can access, regardless of the umask.

The permissions of existing ones are unchanged.
"""

import os
from pathlib import Path
from typing import BinaryIO

FILE_MODE = 0o600
READ_ONLY_MODE = 0o400
WRITE_BITS = 0o222
FOLDER_MODE = 0o700


def make_private_folder(folder: Path) -> None:
    """Create a folder and its missing parents.

    Raises:
        OSError: the folder cannot be created, or the path is not a folder.
    """
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        try:
            each.mkdir(mode=FOLDER_MODE)
        except FileExistsError:  # created by another process
            continue
        each.chmod(FOLDER_MODE)
    if missing and not missing[0].is_dir():
        raise NotADirectoryError(f"{missing[0]} is not a folder")


def create_private_file(path: Path) -> BinaryIO:
    """Create a file and open it for writing.

    Raises:
        FileExistsError: the name exists already; a symbolic link is not followed, a file is not replaced.
        OSError: the file cannot be created.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    os.fchmod(descriptor, FILE_MODE)
    return os.fdopen(descriptor, "wb")


def make_read_only(file: BinaryIO) -> None:
    """Make an open file read-only, also for its owner. What is already open for writing can still be written."""
    os.fchmod(file.fileno(), READ_ONLY_MODE)
