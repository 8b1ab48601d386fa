"""Starts, joins and stops the server of a data directory."""

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
"""Root's folder for files that cannot be in a data directory."""

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
"""The server options that differ from the defaults; options given to `EmbeddedPostgres` take precedence."""

_START_SECONDS = 120.0  # recovery after a crash reads up to max_wal_size of log
_STOP_SECONDS = 60.0
_SOCKET_SECONDS = 5.0  # from the pid file to the socket, on a machine under load
_PAUSE_SECONDS = 0.01
_LOG_BYTES = 10_000_000
# Children do not inherit our environment: the caller's PGDATA or PGOPTIONS must not affect the server.
_ENVIRONMENT = {"LC_ALL": "C", "PATH": "/usr/bin:/bin"}
# The shell ends immediately, so the server is not our child process and we do not have to reap it.
_DETACHED = '"$@" </dev/null >&2 & echo $!'


class EmbeddedPostgres:
    """A real Postgres server in the data directory, shared by all processes that use the same directory.

    The first process that uses the server starts it, and the last one stops it. A killed process simply stops being
    a user; if all users were killed, the server keeps running and the next process joins it. The server listens on a
    private Unix socket only. It runs in its own session, so the terminal's Ctrl-C does not stop it.

    Not thread-safe; use one object per process.
    """

    def __init__(
        self, data_dir: Path, *, options: Mapping[str, str] | None = None, state_dir: Path = STATE_DIR
    ) -> None:
        """Set the parameters; `start` does everything else.

        Args:
            data_dir: The data directory; created if missing.
            options: More server settings, by their Postgres names. A running server that is joined keeps its own.
            state_dir: Root's folder for files that the server's user could not reach in `data_dir`.
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
        """Whether `start` started the server, rather than joining a running one."""
        return self._started_by_us

    @property
    def home(self) -> Home:
        """Where the cluster, its locks and its log are.

        Raises:
            EmbeddedPostgresError: `start` was not called.
        """
        if self._home is None:
            raise EmbeddedPostgresError("The embedded Postgres has not been started", "Call start() first")
        return self._home

    @property
    def pid(self) -> int:
        """Process id of the server.

        Raises:
            EmbeddedPostgresError: The server is not running.
        """
        found = self._running()
        if found is None:
            raise EmbeddedPostgresError(f"No server is running for {self._data_dir}", "Call start() or restart()")
        return found.pid

    def conninfo(self, database: str = DATABASE) -> str:
        """Return the connection string of a database on this server, as a URL."""
        return (
            f"postgresql://{ROLE}@/{quote(database, safe='')}?host={quote(str(self.home.sockets), safe='')}&port={PORT}"
        )

    def start(self) -> str:
        """Start the server, or join a running one. Create the cluster if there is none.

        Returns:
            The connection string (see `conninfo`).

        Raises:
            EmbeddedPostgresError: The server cannot be started; the message says why and what to do.
        """
        if self._presence is not None:
            return self.conninfo()
        try:
            self._home = find_home(self._data_dir, self._state_dir)
            self._presence = self._enter(Presence(self._home.folder, self._home.account))
        except OSError as error:  # a full disk, a file system without locks
            raise EmbeddedPostgresError(
                f"The database in {self._data_dir} cannot be used: {error}", OTHER_PLACE
            ) from error
        self._process = os.getpid()
        atexit.register(self.stop)
        return self.conninfo()

    def stop(self) -> None:
        """Stop using the server; the last user shuts it down (connections are closed, committed data is kept)."""
        presence, self._presence = self._presence, None
        atexit.unregister(self.stop)
        # A forked child inherits this object, but must not stop a server that the parent still uses.
        if presence is None or self._process != os.getpid():
            return
        with presence.door(_START_SECONDS + _STOP_SECONDS):
            self._leave(presence)
        self._started_by_us = False

    def revive(self) -> bool:
        """Start the server again if it crashed. If several users try at the same time, one of them starts it.

        Returns:
            Whether this call started it.

        Raises:
            EmbeddedPostgresError: The server cannot be started.
        """
        if self._presence is None or self._running() is not None:
            return False
        with self._presence.door(_START_SECONDS + _STOP_SECONDS):
            if self._join():
                return False
            self._launch()
        return True

    def kill_immediate(self) -> None:
        """Crash the server: uncommitted data is lost, and the next start recovers from the write-ahead log."""
        self._end_running(signal.SIGQUIT)

    def restart(self) -> str:
        """Stop the server if it runs, even if other processes use it, and start it again.

        Returns:
            The connection string, the same as before.
        """
        if self._presence is None:
            return self.start()
        with self._presence.door(_START_SECONDS + _STOP_SECONDS):
            self._end_running(signal.SIGINT)
            self._join()
            self._launch()
            self._started_by_us = True
        return self.conninfo()

    def _enter(self, presence: Presence) -> Presence:
        with presence.door(_START_SECONDS + _STOP_SECONDS):
            presence.sit()
            try:
                self._started_by_us = not self._join()
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

    def _join(self) -> bool:
        """Wait until a running server accepts connections; remove the pid file of a server that no longer runs.

        Returns:
            True when a server accepts connections, False when there is none.
        """
        deadline = time.monotonic() + _START_SECONDS
        socket_deadline = time.monotonic() + _SOCKET_SECONDS
        while (found := Postmaster.read(pid_file(self.home.cluster), self.home.sockets)) is not None:
            if found.cluster == self.home.cluster and found.listening:
                if found.ready:
                    return True
                self._wait(deadline, "The server does not accept connections")
            elif found.cluster == self.home.cluster and found.alive:
                # The process that started it may just have been killed; then the socket appears soon.
                self._wait(
                    socket_deadline, f"Postgres runs (pid {found.pid}) but its socket in {found.sockets} is gone"
                )
            else:
                # Left by a crash of the machine, or copied along with the folder. If a server does run here, its
                # shared memory, which is tied to the folder itself, still prevents a second one.
                logger.info("removing stale pid file", extra={"file": str(pid_file(self.home.cluster))})
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
        orphan = Postmaster.read(socket_lock(self.home.sockets), self.home.sockets)
        if orphan is not None and orphan.cluster == self.home.cluster and orphan.alive:
            # Its folder was deleted while it ran. It would notice within a minute, and then remove our socket.
            self._end(orphan, signal.SIGQUIT)
        self.home.make_sockets()
        deadline = time.monotonic() + _START_SECONDS
        while (refusal := self._attempt(programs)) is not None:
            # After kill -9 of the server, its remaining sessions and its parent process need a moment to notice.
            dying = "pre-existing shared memory block" in refusal or "lock file" in refusal
            if not dying or time.monotonic() > deadline:
                raise EmbeddedPostgresError(f"Postgres did not start: {refusal}", f"See {self.home.log}")
            time.sleep(_PAUSE_SECONDS * 10)

    def _attempt(self, programs: Path) -> str | None:
        """Start the server and wait until it accepts connections; if it ends instead, return its output."""
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
                self._wait(deadline, "The server does not accept connections")
            output = os.pread(log, 4000, before).decode(errors="replace")
            return " ".join(output.split()) or "it ended without output"
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
        """Create the cluster in a temporary folder and rename it, so that an incomplete cluster is never visible."""
        for leftover in self.home.folder.glob("postgres.new-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        draft = Path(tempfile.mkdtemp(dir=self.home.folder, prefix="postgres.new-"))
        try:
            if not self.home.account.is_us:
                os.chown(draft, self.home.account.uid, self.home.account.gid)
            # Use Postgres' own collation and case rules: they do not depend on the machine's C library.
            locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
            zone = ("-c", "timezone=UTC", "-c", "log_timezone=UTC")
            # The socket folder is private to the user, so connections need no further authentication: trust.
            access = ("--username", ROLE, "--auth=trust")
            self._run([str(programs / "initdb"), "-D", str(draft), *access, *locale, *zone])
            draft.rename(self.home.cluster)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _run(self, words: list[str], log: int = subprocess.PIPE) -> str:
        """Run a program as the server's user, in its own session, and return its output."""
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
            output = " ".join(f"{error.stderr or error.stdout}".split())
            raise EmbeddedPostgresError(
                f"{Path(words[0]).name} failed: {output}", "Set ORCHESTRATOR_DATABASE_URL to use another Postgres"
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
        """Signal a server and wait until it has ended; crash one that takes too long, which is safe."""
        server.signal(how)
        deadline = time.monotonic() + _STOP_SECONDS
        while server.listening or server.alive or server.leaving:
            if time.monotonic() > deadline:
                if how == signal.SIGQUIT:
                    raise EmbeddedPostgresError(f"Postgres (pid {server.pid}) does not stop", f"See {self.home.log}")
                self._end(server, signal.SIGQUIT)
                return
            time.sleep(_PAUSE_SECONDS)
