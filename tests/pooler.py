"""A real PgBouncer before a Postgres, on a Unix socket."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict

from benchmarks.folders import open_folder
from orchestrator.postgres.embedded.account import Account
from tests.downloads import leave_out
from tests.waiting import eventually

_PORT = 6432
_START_SECONDS = 20.0


def program() -> str:
    """Return the path of PgBouncer. As root it is installed, from Debian's packages, if it is missing."""
    found = _found()
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        with Path(tempfile.gettempdir(), "pgbouncer.lock").open("w") as lock:  # one process at a time installs
            fcntl.flock(lock, fcntl.LOCK_EX)
            if _found() is None:
                _apt("update")
                _apt("-y", "--no-install-recommends", "install", "pgbouncer")
        found = _found()
    if found is None:
        leave_out("PgBouncer, which comes from Debian's packages and is installed as root")
    return str(found)


def _found() -> str | None:
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def _apt(*words: str) -> None:
    # In run level 1 the package starts no service.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    subprocess.run(["apt-get", "-q", *words], check=False, capture_output=True, env=environment)


class PgBouncer:
    """A pooler before one database; used as a context manager it is ended at the end.

    Args:
        url: connection string of the database.
        mode: `session`, `transaction` or `statement`.
        users: the roles, besides the owner, that may come through it, each to the server as itself.
        lifetime_seconds: after what time a server connection is replaced, once nobody uses it.
        pool_size: how many server connections it opens for each role.
    """

    def __init__(
        self,
        url: str,
        mode: str,
        *,
        users: Sequence[str] = (),
        lifetime_seconds: float = 3600,
        pool_size: int = 40,
    ) -> None:
        self._parts = conninfo_to_dict(url)
        self._folders = ExitStack()
        self._folder = self._folders.enter_context(open_folder())  # its user may enter it, whatever TMPDIR is
        self._settings = {
            "pool_mode": mode,
            "listen_addr": "",
            "listen_port": str(_PORT),
            "unix_socket_dir": str(self._folder),
            "auth_type": "trust",
            "auth_file": str(self._folder / "users.txt"),
            "admin_users": "operator",
            "default_pool_size": str(pool_size),
            "max_client_conn": "500",
            "server_lifetime": f"{lifetime_seconds:g}",
            "logfile": str(self._folder / "log"),
        }
        self._users = ("orchestrator", *users, "operator")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        account = _account()
        parts = self._parts
        names = "\n".join(f'"{name}" ""' for name in self._users)
        database = f"{parts['dbname']} = host={parts['host']} port={parts['port']} dbname={parts['dbname']}"
        settings = "\n".join(f"{name} = {value}" for name, value in self._settings.items())
        (self._folder / "users.txt").write_text(f"{names}\n")
        (self._folder / "pgbouncer.ini").write_text(f"[databases]\n{database}\n[pgbouncer]\n{settings}\n")
        for path in (self._folder, *self._folder.iterdir()):
            shutil.chown(path, account.uid, account.gid)
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self._folders.close()

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        words, output = [program(), "-q", str(self._folder / "pgbouncer.ini")], subprocess.DEVNULL
        self._process = subprocess.Popen(words, stdout=output, stderr=output, cwd="/", **_account().demotion())
        eventually(self._answers, _START_SECONDS, "PgBouncer answers", shows=self._log)

    def kill(self) -> None:
        """Kill -9; the connections of its clients are lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def url(self, user: str = "orchestrator") -> str:
        """The connection string of the database through the pooler."""
        return self._url(user, str(self._parts["dbname"]))

    def command(self, words: str) -> None:
        """Give a command of its console: `RECONNECT` replaces server connections, `PAUSE` and `RESUME`."""
        with psycopg.connect(self._url("operator", "pgbouncer"), autocommit=True) as console:
            console.pgconn.exec_(words.encode())

    def _url(self, user: str, database: str) -> str:
        return f"postgresql://{user}@/{database}?host={quote(str(self._folder), safe='')}&port={_PORT}"

    def _answers(self) -> bool:
        assert self._process is not None and self._process.poll() is None, self._log()  # noqa: PT018
        try:
            psycopg.connect(self.url()).close()
        except psycopg.OperationalError:
            return False
        return True

    def _log(self) -> str:
        path = self._folder / "log"
        return path.read_text() if path.exists() else "no log"


def _account() -> Account:
    """The user that runs it, as the one that runs Postgres: neither runs as root."""
    return Account.service() if os.geteuid() == 0 else Account.current()
