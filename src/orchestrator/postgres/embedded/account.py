"""Which system user runs the server: the current user, or, for root, an unprivileged user."""

import os
import pwd
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from orchestrator.postgres.embedded.errors import EmbeddedPostgresError

SERVICE_USER = "orchestrator"
FALLBACK_USER = "nobody"


@dataclass(frozen=True, slots=True)
class Account:
    """A system user, by its user id and group id."""

    uid: int
    gid: int

    @classmethod
    def current(cls) -> Self:
        """Return the user of this process."""
        return cls(os.geteuid(), os.getegid())

    @classmethod
    def owner_of(cls, path: Path) -> Self:
        """Return the owner of `path`."""
        found = path.stat()
        return cls(found.st_uid, found.st_gid)

    @classmethod
    def service(cls) -> Self:
        """Return the user that runs root's servers: `orchestrator`, created if missing, or else `nobody`.

        Raises:
            EmbeddedPostgresError: Neither user exists, and `orchestrator` cannot be created.
        """
        found = _lookup(SERVICE_USER) or _created(SERVICE_USER) or _lookup(FALLBACK_USER)
        if found is None:
            raise EmbeddedPostgresError(
                "Postgres does not run as root, and this machine has no user to run it as",
                f"Create one (useradd --system {SERVICE_USER}), start as an ordinary user, "
                "or set ORCHESTRATOR_DATABASE_URL",
            )
        return cls(found.pw_uid, found.pw_gid)

    @property
    def is_us(self) -> bool:
        """Whether this process runs as this user."""
        return self.uid == os.geteuid()

    def demotion(self) -> dict[str, Any]:
        """Return arguments for `subprocess` that run a child as this user, without the groups of this process."""
        if self.is_us:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def may(self, path: Path, *, read: bool = False, execute: bool = False) -> bool:
        """Return whether this user may enter all parents of `path`, and may read or execute `path`.

        Only permission bits are checked: an ACL that differs causes an error when the program starts.

        Args:
            path: An existing, resolved path.
            read: Also require permission to read it.
            execute: Also require permission to execute it (a file) or to enter it (a folder).
        """
        wanted = (stat.S_IROTH if read else 0) | (stat.S_IXOTH if execute else 0)
        return all(self._has(parent, stat.S_IXOTH) for parent in path.parents) and self._has(path, wanted)

    def _has(self, path: Path, bits: int) -> bool:
        found = path.stat()
        if found.st_uid == self.uid:
            bits <<= 6
        elif found.st_gid == self.gid:
            bits <<= 3
        return found.st_mode & bits == bits


def make_public(folder: Path) -> None:
    """Create a folder that everybody may enter, whatever the umask; an existing folder is not changed."""
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)


def _lookup(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _created(name: str) -> pwd.struct_passwd | None:
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if useradd is None:
        return None
    options = ("--system", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin")
    # Two processes may try at the same time: the second one finds the user that the first created.
    subprocess.run([useradd, *options, name], check=False, capture_output=True, stdin=subprocess.DEVNULL)  # noqa: S603 - fixed words
    return _lookup(name)
