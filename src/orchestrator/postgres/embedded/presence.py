"""Tracks which processes use the cluster, with kernel locks.

The kernel releases a lock when its holder dies, however it dies. So there is no list of process ids that could become
stale, and no reused id that could be mistaken for a user.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.postgres.embedded.account import Account
from orchestrator.postgres.embedded.errors import EmbeddedPostgresError

_PAUSE_SECONDS = 0.01


class Presence:
    """One process's locks on the two lock files in the home folder of a cluster.

    The startup lock (`postgres.lock`, exclusive) is held while a process starts or stops the server. The usage lock
    (`postgres.users`, shared) is held while a process uses the server; a process that gets it exclusively is the only
    user.
    """

    def __init__(self, folder: Path, account: Account) -> None:
        self._startup_file = folder / "postgres.lock"
        self._usage_file = folder / "postgres.users"
        self._account = account
        self._usage_fd: int | None = None

    @contextmanager
    def door(self, timeout_seconds: float) -> Iterator[None]:
        """Hold the startup lock, so that no other process starts or stops the server.

        Raises:
            EmbeddedPostgresError: Another process held the lock for `timeout_seconds`.
        """
        fd = open_owned(self._startup_file, self._account)
        try:
            self._acquire(fd, time.monotonic() + timeout_seconds)
            yield
        finally:
            os.close(fd)

    def sit(self) -> None:
        """Become a user of the server. Call it while holding the startup lock."""
        self._usage_fd = open_owned(self._usage_file, self._account)
        fcntl.flock(self._usage_fd, fcntl.LOCK_SH)

    def leave(self) -> bool:
        """Stop being a user of the server. Call it while holding the startup lock.

        Returns:
            Whether this was the last user.
        """
        fd, self._usage_fd = self._usage_fd, None
        if fd is None:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        else:
            return True
        finally:
            # Unlock explicitly: a forked child may still hold a copy of the descriptor.
            fcntl.flock(fd, fcntl.LOCK_UN)
            os.close(fd)

    def _acquire(self, fd: int, deadline: float) -> None:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise EmbeddedPostgresError(
                        f"Another process has been starting or stopping the server for too long ({self._startup_file})",
                        "Find the process that holds this file (fuser or lsof) and end it",
                    ) from None
                time.sleep(_PAUSE_SECONDS)
            else:
                return


def open_owned(path: Path, account: Account, flags: int = os.O_RDWR) -> int:
    """Open a file in the home folder; create it, private to `account`, if it does not exist.

    The owner is changed only for files created here: root must never give away files that already existed.

    Raises:
        EmbeddedPostgresError: The file cannot be opened.
    """
    flags |= os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        try:
            fd = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return os.open(path, flags)
        if not account.is_us:
            os.fchown(fd, account.uid, account.gid)
    except OSError as error:
        raise EmbeddedPostgresError(
            f"{path} cannot be opened: {error.strerror}",
            "Run as the user that created the database, or make that user the owner of the file",
        ) from error
    return fd
