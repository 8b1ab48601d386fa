"""Start, join and stop the server of a data directory."""

import atexit
import logging
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from orchestrator.postgres.embedded import binaries
from orchestrator.postgres.embedded.errors import EmbeddedPostgresError
from orchestrator.postgres.embedded.home import OTHER_PLACE, Home, find_home
from orchestrator.postgres.embedded.postmaster import PORT, Postmaster, ended, pid_file, socket_lock
from orchestrator.postgres.embedded.presence import Presence, open_owned

logger = logging.getLogger(__name__)

STATE_DIR = Path("/var/lib/orchestrator")
"""Root's folder for what cannot live in a data directory."""

ROLE = "orchestrator"
DATABASE = "postgres"
OPTIONS: Mapping[str, str] = {
    "shared_buffers": "128MB",
    "max_connections": "100",
    "max_wal_size": "2GB",
    "wal_compression": "on",
    "fsync": "on",
    "synchronous_commit": "on",
    "log_checkpoints": "off",
}
"""How the server differs from its defaults; options given to `EmbeddedPostgres` come after and win."""

_START_SECONDS = 120.0  # recovery after a crash reads up to max_wal_size of log
_STOP_SECONDS = 60.0
_SOCKET_SECONDS = 5.0  # from the pid file to the socket, on a machine under load
_PAUSE_SECONDS = 0.01
_LOG_BYTES = 10_000_000
# Children see none of our environment: a PGDATA or PGOPTIONS of the caller's must not reach our server.
_ENVIRONMENT = {"LC_ALL": "C", "PATH": "/usr/bin:/bin"}
# The shell ends at once, so the server belongs to nobody's process tree and its end needs no collecting.
_DETACHED = '"$@" </dev/null >&2 & echo $!'


class EmbeddedPostgres:
    """A real Postgres below the data directory, shared by every process that names the same directory.

    The first user starts the server, the last one to go stops it. A user that is killed just goes; a server
    whose users were all killed keeps running and is joined by the next one. It listens on a private Unix socket
    only, and not being part of our session it outlives the terminal's Ctrl-C.

    Not for use from several threads at once; use one object per process.
    """

    def __init__(
        self, data_dir: Path, *, options: Mapping[str, str] | None = None, state_dir: Path = STATE_DIR
    ) -> None:
        """Nothing happens before `start`.

        Args:
            data_dir: The data directory; made when missing.
            options: More settings for the server, by their Postgres names. A server that is joined keeps its own.
            state_dir: Where root puts what the server's user could not reach in `data_dir`.
        """
        self._data_dir = data_dir
        self._state_dir = state_dir
        self._options = {**OPTIONS, **(options or {})}
        self._home: Home | None = None
        self._presence: Presence | None = None
        self._started_by_us = False
        self._process = os.getpid()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def started_by_us(self) -> bool:
        """Whether our `start` started the server; else it joined one."""
        return self._started_by_us

    @property
    def home(self) -> Home:
        """Where the cluster, its locks and its log are.

        Raises:
            EmbeddedPostgresError: `start` was not called.
        """
        if self._home is None:
            raise EmbeddedPostgresError("The embedded Postgres was not started", "Call start() first")
        return self._home

    @property
    def pid(self) -> int:
        """Process id of the server.

        Raises:
            EmbeddedPostgresError: It does not run.
        """
        found = self._running()
        if found is None:
            raise EmbeddedPostgresError(f"No server runs for {self._data_dir}", "Call start() or restart()")
        return found.pid

    def conninfo(self, database: str = DATABASE) -> str:
        """The connection string of a database of this server, in URL form."""
        return (
            f"postgresql://{ROLE}@/{quote(database, safe='')}?host={quote(str(self.home.sockets), safe='')}&port={PORT}"
        )

    def start(self) -> str:
        """Start the server, or join the one that runs. Makes the cluster when there is none.

        Returns:
            The connection string (see `conninfo`).

        Raises:
            EmbeddedPostgresError: It cannot be started; says why and what to do.
        """
        if self._presence is not None:
            return self.conninfo()
        try:
            self._home = find_home(self._data_dir, self._state_dir)
            self._presence = self._entered(Presence(self._home.folder, self._home.account))
        except OSError as error:  # a full disk, a file system without locks
            raise EmbeddedPostgresError(
                f"The database in {self._data_dir} cannot be used: {error}", OTHER_PLACE
            ) from error
        self._process = os.getpid()
        atexit.register(self.stop)
        return self.conninfo()

    def stop(self) -> None:
        """Stop using the server; the last user stops it (open connections are closed, commits are kept)."""
        presence, self._presence = self._presence, None
        atexit.unregister(self.stop)
        # A forked child has inherited this object, not the right to end what the parent still uses.
        if presence is None or self._process != os.getpid():
            return
        with presence.door(_START_SECONDS + _STOP_SECONDS):
            self._leave(presence)
        self._started_by_us = False

    def revive(self) -> bool:
        """Start the server again if it crashed. Several users may try at once: one of them does it.

        Returns:
            Whether we had to start it.

        Raises:
            EmbeddedPostgresError: It cannot be started.
        """
        if self._presence is None or self._running() is not None:
            return False
        with self._presence.door(_START_SECONDS + _STOP_SECONDS):
            if self._joins():
                return False
            self._launch()
        return True

    def kill_immediate(self) -> None:
        """Crash the server: what was not committed is lost, the next start recovers from the log."""
        self._end_running(signal.SIGQUIT)

    def restart(self) -> str:
        """Stop the server if it runs, whoever else uses it, and start it again.

        Returns:
            The connection string, the same as before.
        """
        if self._presence is None:
            return self.start()
        with self._presence.door(_START_SECONDS + _STOP_SECONDS):
            self._end_running(signal.SIGINT)
            self._joins()
            self._launch()
            self._started_by_us = True
        return self.conninfo()

    def _entered(self, presence: Presence) -> Presence:
        with presence.door(_START_SECONDS + _STOP_SECONDS):
            presence.sit()
            try:
                self._started_by_us = not self._joins()
                if self._started_by_us:
                    self._launch()
            except BaseException:
                self._leave(presence)
                raise
        return presence

    def _leave(self, presence: Presence) -> None:
        if presence.leave():
            self._end_running(signal.SIGINT)
            self.home.remove_sockets()

    def _running(self) -> Postmaster | None:
        found = Postmaster.read(pid_file(self.home.cluster), self.home.sockets)
        return found if found is not None and found.cluster == self.home.cluster and found.listening else None

    def _joins(self) -> bool:
        """Wait for a server that is there to take connections; clean up behind one that is not.

        Returns:
            True when it takes connections, False when there is none.
        """
        deadline = time.monotonic() + _START_SECONDS
        socket_deadline = time.monotonic() + _SOCKET_SECONDS
        while (found := Postmaster.read(pid_file(self.home.cluster), self.home.sockets)) is not None:
            if found.cluster == self.home.cluster and found.listening:
                if found.ready:
                    return True
                self._wait(deadline, "The server has not taken connections")
            elif found.cluster == self.home.cluster and found.alive:
                # Its starter may have been killed a moment ago, then the socket comes soon.
                self._wait(
                    socket_deadline, f"Postgres runs (pid {found.pid}) but its socket in {found.sockets} is gone"
                )
            else:
                # Left by a crash of the machine, or copied along with the folder. Should a server run here after
                # all, its shared memory, which is tied to the folder itself, still keeps a second one out.
                logger.info("Removing the pid file of a server that is gone: %s", pid_file(self.home.cluster))
                pid_file(self.home.cluster).unlink(missing_ok=True)
        return False

    def _wait(self, deadline: float, problem: str) -> None:
        if time.monotonic() > deadline:
            raise EmbeddedPostgresError(
                problem, f"See {self.home.log}; to end that server: kill -INT $(head -1 {pid_file(self.home.cluster)})"
            )
        time.sleep(_PAUSE_SECONDS)

    def _launch(self) -> None:
        programs = binaries.programs(self.home.account, self._state_dir)
        if not self.home.initialised():
            self._initialise(programs)
        deserter = Postmaster.read(socket_lock(self.home.sockets), self.home.sockets)
        if deserter is not None and deserter.cluster == self.home.cluster and deserter.alive:
            # Its folder was deleted below it. It would notice within a minute, and take our socket with it.
            self._end(deserter, signal.SIGQUIT)
        self.home.make_sockets()
        deadline = time.monotonic() + _START_SECONDS
        while (refusal := self._attempt(programs)) is not None:
            # After kill -9 of the server its last sessions, and whoever reaps it, need a moment to notice.
            dying = "pre-existing shared memory block" in refusal or "lock file" in refusal
            if not dying or time.monotonic() > deadline:
                raise EmbeddedPostgresError(f"Postgres did not start: {refusal}", f"See {self.home.log}")
            time.sleep(_PAUSE_SECONDS * 10)

    def _attempt(self, programs: Path) -> str | None:
        """Start the server once and wait until it takes connections; returns what it said when it ended."""
        if self.home.log.exists() and self.home.log.stat().st_size > _LOG_BYTES:
            self.home.log.replace(self.home.log.with_suffix(".log.old"))
        log = open_owned(self.home.log, self.home.account, os.O_RDWR | os.O_APPEND)
        try:
            before = os.fstat(log).st_size
            pid = int(self._run(["/bin/sh", "-c", _DETACHED, "sh", *self._command(programs)], log))
            deadline = time.monotonic() + _START_SECONDS
            ours = Postmaster(pid, self.home.cluster, self.home.sockets, ready=True)
            while not ended(pid):
                if self._running() == ours:
                    return None
                self._wait(deadline, "The server has not taken connections")
            said = os.pread(log, 4000, before).decode(errors="replace")
            return " ".join(said.split()) or "it ended without a word"
        finally:
            os.close(log)

    def _command(self, programs: Path) -> list[str]:
        fixed = {
            "listen_addresses": "",
            "port": str(PORT),
            "unix_socket_directories": str(self.home.sockets),
            "unix_socket_permissions": "0700",
        }
        options = [word for name, value in {**self._options, **fixed}.items() for word in ("-c", f"{name}={value}")]
        return [str(programs / "postgres"), "-D", str(self.home.cluster), *options]

    def _initialise(self, programs: Path) -> None:
        """Make the cluster beside its place and move it there whole, so that half a cluster is never seen."""
        for leftover in self.home.folder.glob("postgres.new-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        draft = Path(tempfile.mkdtemp(dir=self.home.folder, prefix="postgres.new-"))
        try:
            if not self.home.account.is_us:
                os.chown(draft, self.home.account.uid, self.home.account.gid)
            # Sort order and case rules are Postgres' own: they do not change with the machine's C library.
            locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
            zone = ("-c", "timezone=UTC", "-c", "log_timezone=UTC")
            # The socket folder is private to the user, so who gets in is already known: trust.
            access = ("--username", ROLE, "--auth=trust")
            self._run([str(programs / "initdb"), "-D", str(draft), *access, *locale, *zone])
            draft.rename(self.home.cluster)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _run(self, words: list[str], log: int = subprocess.PIPE) -> str:
        """Run a program as the server's user, in a session of its own; returns what it wrote."""
        try:
            done: subprocess.CompletedProcess[str] = subprocess.run(  # noqa: S603 - our own words, no shell splitting
                words,
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd="/",
                env=_ENVIRONMENT,
                umask=0o077,
                start_new_session=True,
                **self.home.account.demotion(),
            )
        except subprocess.CalledProcessError as error:
            said = " ".join(f"{error.stderr or error.stdout}".split())
            raise EmbeddedPostgresError(
                f"{Path(words[0]).name} failed: {said}", "Set ORCHESTRATOR_DATABASE_URL to use another Postgres"
            ) from error
        except OSError as error:
            raise EmbeddedPostgresError(
                f"{words[0]} cannot be run as uid {self.home.account.uid}: {error}",
                "Run as an ordinary user, or set ORCHESTRATOR_DATABASE_URL",
            ) from error
        return done.stdout

    def _end_running(self, how: signal.Signals) -> None:
        found = self._running()
        if found is not None and found.alive:
            self._end(found, how)

    def _end(self, server: Postmaster, how: signal.Signals) -> None:
        """Signal a server and wait until it is gone; one that takes too long is made to crash, which is safe."""
        server.signal(how)
        deadline = time.monotonic() + _STOP_SECONDS
        while server.listening or server.alive or server.leaving:
            if time.monotonic() > deadline:
                if how == signal.SIGQUIT:
                    raise EmbeddedPostgresError(f"Postgres (pid {server.pid}) does not end", f"See {self.home.log}")
                self._end(server, signal.SIGQUIT)
                return
            time.sleep(_PAUSE_SECONDS)
