"""Who is using the cluster, told by kernel locks.

The kernel drops a lock when its holder dies, however it dies. So there is no list of process ids that could go
stale, and no recycled id that could be taken for a user.
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
    """One user's two locks in the home folder of a cluster.

    The door (`postgres.lock`, exclusive) is held while somebody starts or stops the server. The seat
    (`postgres.users`, shared) is held for as long as somebody uses it; whoever gets it exclusively is alone.
    """

    def __init__(self, folder: Path, account: Account) -> None:
        self._door = folder / "postgres.lock"
        self._seat = folder / "postgres.users"
        self._account = account
        self._seat_fd: int | None = None

    @contextmanager
    def door(self, timeout_seconds: float) -> Iterator[None]:
        """Hold the door: nobody else starts or stops the server meanwhile.

        Raises:
            EmbeddedPostgresError: Somebody else held it for `timeout_seconds`.
        """
        fd = open_owned(self._door, self._account)
        try:
            self._take_door(fd, time.monotonic() + timeout_seconds)
            yield
        finally:
            os.close(fd)

    def sit(self) -> None:
        """Become a user. Call it behind the door."""
        self._seat_fd = open_owned(self._seat, self._account)
        fcntl.flock(self._seat_fd, fcntl.LOCK_SH)

    def leave(self) -> bool:
        """Stop being a user. Call it behind the door.

        Returns:
            Whether nobody else was sitting.
        """
        fd, self._seat_fd = self._seat_fd, None
        if fd is None:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        else:
            return True
        finally:
            # Unlock by name: a forked child may still hold a copy of the descriptor.
            fcntl.flock(fd, fcntl.LOCK_UN)
            os.close(fd)

    def _take_door(self, fd: int, deadline: float) -> None:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise EmbeddedPostgresError(
                        f"Another process has been starting or stopping the server for too long ({self._door})",
                        "See who holds that file (fuser or lsof) and end it",
                    ) from None
                time.sleep(_PAUSE_SECONDS)
            else:
                return


def open_owned(path: Path, account: Account, flags: int = os.O_RDWR) -> int:
    """Open a file of the home folder, made private to `account` if it is new.

    Only a file we have just made ourselves is handed over: root must never give away what it finds.

    Raises:
        EmbeddedPostgresError: It cannot be opened.
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
            f"{path} cannot be opened: {error.strerror}", "Run as the user that made the database, or give it that file"
        ) from error
    return fd
