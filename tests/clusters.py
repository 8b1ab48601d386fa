"""Postgres clusters that are run by hand, each in a folder of its own: copied, killed, promoted, put into a namespace.

`EmbeddedPostgres` is what the program itself starts; it cannot follow another server, and listens on no address.
"""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import psycopg

from orchestrator.postgres.embedded import binaries
from orchestrator.postgres.embedded.account import Account
from orchestrator.postgres.embedded.server import STATE_DIR
from orchestrator.postgres.sql import load_sql
from tests.waiting import eventually

_SQL = load_sql(__file__)
_WAIT_SECONDS = 60.0
_LOCALE = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")


class Cluster:
    """A server on a Unix socket below `folder`, or on TCP addresses only; used as a context manager it is stopped.

    Args:
        folder: made when missing; the user of root's Postgres must be able to get there.
        addresses: what it listens on instead of the socket; whoever comes from there is let in.
        port: of its addresses and in the name of its socket.
        within: words before each command, such as those that enter a network namespace as the server's user.
    """

    def __init__(
        self, folder: Path, *, addresses: Sequence[str] = (), port: int = 5432, within: Sequence[str] = ()
    ) -> None:
        self.folder = folder
        self.port = port
        self.sockets = folder / "s"
        self._data = folder / "data"
        self.addresses = tuple(addresses)
        self._within = within
        self._account = Account.service() if Account.current().uid == 0 else Account.current()
        self._programs = binaries.programs(self._account, STATE_DIR)
        for path in (folder, self.sockets):
            path.mkdir(exist_ok=True, mode=0o700)
            shutil.chown(path, self._account.uid, self._account.gid)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def hosts(self) -> str:
        """What stands for `host` in a connection string."""
        return ",".join(self.addresses or (quote(str(self.sockets), safe=""),))

    @property
    def url(self) -> str:
        return url_of(self)

    def create(self) -> None:
        """Make an empty cluster."""
        self._run("initdb", "-D", self._data, "--username", "orchestrator", "--auth=trust", "--no-sync", *_LOCALE)
        if self.addresses:
            with (self._data / "pg_hba.conf").open("a") as access:
                access.write("host all all samenet trust\n")

    def copy(self, primary: "Cluster") -> None:
        """Become a standby of a running server, whatever was here before."""
        shutil.rmtree(self._data, ignore_errors=True)
        source = f"host={primary.sockets} port={primary.port} user=orchestrator"
        self._run("pg_basebackup", "-d", source, "-D", self._data, "-R", "-X", "stream", "-c", "fast", "--no-sync")
        with (self._data / "postgresql.auto.conf").open("a") as settings:
            settings.write("synchronous_standby_names = ''\n")  # once promoted it has nobody to wait for

    def start(self) -> None:
        """Start the server, and wait until it takes connections."""
        listens = f"listen_addresses={','.join(self.addresses)} -c port={self.port}"
        sockets = f"unix_socket_directories={'' if self.addresses else self.sockets}"
        options = f"-c {listens} -c {sockets} -c shared_buffers=64MB -c max_connections=300"
        self._control("start", "-l", self.folder / "log", "-o", options)

    def kill(self) -> None:
        """Crash it; one that does not run is left alone."""
        if (self._data / "postmaster.pid").exists():
            self._control("stop", "-m", "immediate")

    def promote(self) -> None:
        """Make a standby the primary."""
        self._control("promote")
        self.until(_SQL.is_primary)

    def run(self, statement: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)

    def until(self, statement: str) -> None:
        """Ask until the answer is true."""
        eventually(lambda: self._answers(statement), _WAIT_SECONDS, "it answers", shows=(self.folder / "log").read_text)

    def _answers(self, statement: str) -> bool:
        try:
            with psycopg.connect(self.url) as connection:
                return connection.execute(statement).fetchone() == (True,)
        except psycopg.OperationalError:
            return False

    def _control(self, *words: str | Path) -> None:
        self._run("pg_ctl", "-D", self._data, "-w", *words)

    def _run(self, program: str, *words: str | Path) -> None:
        command = [*self._within, str(self._programs / program), *map(str, words)]
        # Not through pipes: the server inherits them, and would keep them open.
        log = self.folder / "commands.log"
        with log.open("a") as told:
            code = subprocess.run(
                command, check=False, stdin=subprocess.DEVNULL, stdout=told, stderr=told, cwd="/",
                env={"LC_ALL": "C", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, umask=0o077,
                **({} if self._within else self._account.demotion()),
            ).returncode  # fmt: skip
        assert code == 0, f"{command} ended with {code}: {log.read_text()[-2000:]}"


def url_of(*clusters: Cluster) -> str:
    """A connection string that names clusters, as an operator would."""
    hosts = ",".join(cluster.hosts for cluster in clusters)
    ports = ",".join(str(cluster.port) for cluster in clusters)
    return f"postgresql://orchestrator@/postgres?host={hosts}&port={ports}"
