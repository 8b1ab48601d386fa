"""Where the cluster, its locks and its log are: in the data directory, or, for root, elsewhere.

See docs/decisions/0002-where-roots-data-goes.md.
"""

import hashlib
import os
import secrets
import shutil
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from orchestrator.postgres.embedded.account import Account, make_public
from orchestrator.postgres.embedded.binaries import MAJOR
from orchestrator.postgres.embedded.errors import EmbeddedPostgresError

LOCATION_FILE = "postgres.location"
OTHER_PLACE = "Set ORCHESTRATOR_DATA_DIR to another folder, or ORCHESTRATOR_DATABASE_URL to a Postgres of your own"

# A path in a socket address has at most 107 bytes, so the sockets cannot be below a data directory of any length.
# $TMPDIR does not work either: it differs between the processes that share the server.
_SOCKETS = Path("/tmp")  # noqa: S108 - the folder below is private and its owner is checked


@dataclass(frozen=True, slots=True)
class Home:
    """The locations of one cluster.

    Attributes:
        folder: Holds the cluster, its locks and its log.
        account: The user that runs the server and owns the cluster.
    """

    folder: Path
    account: Account

    @property
    def cluster(self) -> Path:
        """The folder that Postgres calls its data directory."""
        return self.folder / "postgres"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.folder / "postgres.log"

    @property
    def sockets(self) -> Path:
        """The private folder of the server's socket, the same for every process that uses this cluster."""
        digest = hashlib.sha256(os.fsencode(self.cluster)).hexdigest()
        return _SOCKETS / f"orchestrator-{self.account.uid}-{digest[:12]}"

    def initialised(self) -> bool:
        """Return whether the cluster exists.

        Raises:
            EmbeddedPostgresError: The folder is something else, or a cluster of another major version.
        """
        version_file = self.cluster / "PG_VERSION"
        try:
            version = version_file.read_text().strip()
        except FileNotFoundError:
            if self.cluster.exists():
                raise EmbeddedPostgresError(
                    f"{self.cluster} exists but is not a Postgres cluster", "Move it away, or set ORCHESTRATOR_DATA_DIR"
                ) from None
            return False
        if version != str(MAJOR):
            raise EmbeddedPostgresError(
                f"{self.cluster} was created by Postgres {version}, but this program includes Postgres {MAJOR}",
                "Migrate the data with pg_dump and psql (or pg_upgrade), or set ORCHESTRATOR_DATABASE_URL to a "
                f"Postgres {version} that serves it",
            )
        return True

    def make_sockets(self) -> None:
        """Create the private socket folder, or check that the existing one is ours and clear it.

        Call it only when no server runs: a crashed server leaves a lock file with its process id, and the id may be
        in use again.

        Raises:
            EmbeddedPostgresError: Another user created a folder of that name.
        """
        with suppress(FileExistsError):
            self.sockets.mkdir(mode=0o700)
            if not self.account.is_us:
                os.chown(self.sockets, self.account.uid, self.account.gid)
        if not self._owns_sockets():
            raise EmbeddedPostgresError(
                f"{self.sockets} is not a private folder of the server's user (uid {self.account.uid})",
                "Remove it, and find out who created it",
            )
        for leftover in self.sockets.iterdir():
            leftover.unlink()

    def remove_sockets(self) -> None:
        """Remove the socket folder, unless another user created it. Call it only when no server runs."""
        if self._owns_sockets():
            shutil.rmtree(self.sockets, ignore_errors=True)

    def _owns_sockets(self) -> bool:
        try:
            found = self.sockets.lstat()
        except FileNotFoundError:
            return False
        return stat.S_ISDIR(found.st_mode) and found.st_uid == self.account.uid and not found.st_mode & 0o077


def find_home(data_dir: Path, state_dir: Path) -> Home:
    """Decide where the cluster of a data directory is, and create the folders for it.

    Args:
        data_dir: The data directory; created if missing.
        state_dir: Root's folder for clusters that cannot be in their data directory.

    Raises:
        EmbeddedPostgresError: The directory cannot be used; the message says why.
    """
    data_dir = _make_data_dir(data_dir)
    if os.geteuid() != 0:
        return _own_home(data_dir)
    if (data_dir / LOCATION_FILE).exists():
        folder = _located(data_dir, state_dir)
    elif (data_dir / "postgres").exists() or Account.service().may(data_dir, execute=True):
        folder = data_dir
    else:
        folder = _make_elsewhere(data_dir, state_dir)
    home = Home(folder, _account_of(folder / "postgres"))
    if not home.account.may(folder, execute=True):
        raise EmbeddedPostgresError(
            f"The user of the database in {folder} (uid {home.account.uid}) can no longer enter that folder",
            f"Let that user enter {folder} and its parents again (chmod o+x)",
        )
    return home


def _make_data_dir(data_dir: Path) -> Path:
    data_dir = data_dir.resolve()
    if data_dir.exists() and not data_dir.is_dir():
        raise EmbeddedPostgresError(f"The data directory {data_dir} is a file", OTHER_PLACE)
    try:
        _make_private(data_dir)
        probe = data_dir / f".writable-{secrets.token_hex(4)}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise EmbeddedPostgresError(
            f"The data directory {data_dir} cannot be written: {error.strerror}", OTHER_PLACE
        ) from error
    return data_dir


def _make_private(folder: Path) -> None:
    """Create a folder that only its owner may read; root's database user may pass through.

    An existing folder is not changed.
    """
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700 if os.geteuid() != 0 else 0o711)


def _own_home(data_dir: Path) -> Home:
    home = Home(data_dir, Account.current())
    if (data_dir / LOCATION_FILE).exists() or (home.cluster.exists() and _account_of(home.cluster) != home.account):
        owner = "root" if (data_dir / LOCATION_FILE).exists() else f"uid {home.cluster.stat().st_uid}"
        raise EmbeddedPostgresError(
            f"The database of {data_dir} belongs to another user ({owner})", f"Run as that user. {OTHER_PLACE}"
        )
    return home


def _account_of(cluster: Path) -> Account:
    """Return the user that runs the server of `cluster`: its owner, or, for root's clusters, the service user."""
    if cluster.exists():
        owner = Account.owner_of(cluster)
        return owner if owner.uid != 0 else Account.service()
    return Account.current() if os.geteuid() != 0 else Account.service()


def _located(data_dir: Path, state_dir: Path) -> Path:
    folder = Path((data_dir / LOCATION_FILE).read_text(encoding="utf-8").strip())
    # A user who can write to the data directory must not be able to direct root to an arbitrary folder.
    if folder.parent != state_dir or not folder.is_dir():
        raise EmbeddedPostgresError(
            f"{data_dir / LOCATION_FILE} says that the database is in {folder}, which is not a folder in {state_dir}",
            "Restore that folder, or remove the file to start with an empty database",
        )
    return folder


def _make_elsewhere(data_dir: Path, state_dir: Path) -> Path:
    # A new name each time: a user who deletes and recreates a data directory expects an empty database.
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()
    folder = state_dir / f"{digest[:12]}-{secrets.token_hex(4)}"
    draft = data_dir / f".{LOCATION_FILE}-{folder.name}"
    try:
        make_public(state_dir)
        make_public(folder)
        (folder / "README").write_text(f"The database of {data_dir}. Delete both together.\n", encoding="utf-8")
        draft.write_text(f"{folder}\n", encoding="utf-8")
        try:
            (data_dir / LOCATION_FILE).hardlink_to(draft)  # fails if another process was faster: use its folder
        except FileExistsError:
            (folder / "README").unlink()
            folder.rmdir()
            return _located(data_dir, state_dir)
        finally:
            draft.unlink()
    except OSError as error:
        raise EmbeddedPostgresError(
            f"Postgres does not run as root, no other user can enter {data_dir}, and {state_dir} is unusable: {error}",
            f"Run as an ordinary user. {OTHER_PLACE}",
        ) from error
    return folder
