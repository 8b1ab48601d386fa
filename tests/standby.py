"""A primary with a streaming standby, both real servers on Unix sockets, for tests of failovers."""

import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import psycopg

from orchestrator.eventstore.embedded import EmbeddedPostgres, binaries
from orchestrator.eventstore.embedded.account import Account
from orchestrator.eventstore.embedded.server import STATE_DIR
from orchestrator.eventstore.sql import load_sql

_SQL = load_sql(__file__)
_WAIT_SECONDS = 60.0


class Standby:
    """Follows a primary synchronously, so that a failover loses no commit. `url` names both, as an operator would."""

    def __init__(self, primary: EmbeddedPostgres, folder: Path) -> None:
        self._primary = primary
        self._folder = folder
        self._cluster = folder / "standby"
        self._sockets = folder / "s"
        self._account: Account = primary.home.account
        self._programs = binaries.programs(self._account, STATE_DIR)

    def __enter__(self) -> Self:
        self._folder.mkdir()
        for path in (self._folder, self._sockets):
            path.mkdir(exist_ok=True, mode=0o700)
            shutil.chown(path, self._account.uid, self._account.gid)
        source = f"host={self._primary.home.sockets} port=5432 user=orchestrator"
        self._run("pg_basebackup", "-d", source, "-D", self._cluster, "-R", "-X", "stream", "-c", "fast")
        options = f"-c listen_addresses= -c port=5432 -c unix_socket_directories={self._sockets}"
        self._control("start", "-l", self._folder / "standby.log", "-o", options)
        self._until(_SQL.is_following)
        with psycopg.connect(self._primary.conninfo(), autocommit=True) as connection:
            for statement in (_SQL.wait_for_standby, _SQL.reload):
                connection.execute(statement)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._control("stop", "-m", "immediate")

    @property
    def url(self) -> str:
        hosts = ",".join(quote(str(sockets), safe="") for sockets in (self._primary.home.sockets, self._sockets))
        return f"postgresql://orchestrator@/postgres?host={hosts}&port=5432"

    @property
    def own_url(self) -> str:
        """The standby alone."""
        return f"postgresql://orchestrator@/postgres?host={quote(str(self._sockets), safe='')}&port=5432"

    def promote(self) -> None:
        """Make it the primary."""
        self._control("promote")
        self._until(_SQL.is_primary)

    def _until(self, statement: str) -> None:
        deadline = time.monotonic() + _WAIT_SECONDS
        while True:
            try:
                with psycopg.connect(self.own_url) as connection:
                    if connection.execute(statement).fetchone() == (True,):
                        return
            except psycopg.OperationalError:
                pass
            assert time.monotonic() < deadline, (self._folder / "standby.log").read_text()
            time.sleep(0.05)

    def _control(self, *words: str | Path) -> None:
        self._run("pg_ctl", "-D", self._cluster, "-w", *words)

    def _run(self, program: str, *words: str | Path) -> None:
        command: Sequence[str] = [str(self._programs / program), *map(str, words)]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, cwd="/", env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
            umask=0o077, **self._account.demotion(),
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
