"""Start `orchestrator` processes as a user does, in a temporary data directory."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from benchmarks.folders import open_folder

ROOT = Path(__file__).parent.parent


@dataclass(slots=True)
class Server:
    """An `orchestrator` process; `host` and `port` are set once it is ready."""

    process: "subprocess.Popen[str]"
    host: str = ""
    port: int = 0

    def await_ready(self) -> None:
        """Wait until the process reports that it is ready."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.startswith("ready"):
            self.process.kill()
            raise RuntimeError(f"{self.process.args!r} did not become ready: {line!r}")
        if "http://" in line:
            self.host, _, port = line.split()[-1].removeprefix("http://").rpartition(":")
            self.port = int(port)

    def kill(self) -> None:
        """Kill the process with SIGKILL."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """Stop the process with SIGTERM, and with SIGKILL if that takes longer than 15 s."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()


def launch(verb: str, data_dir: Path, options: Sequence[str] = (), environment: dict[str, str] | None = None) -> Server:
    """Start a command of the program."""
    command = [sys.executable, "-m", "orchestrator", verb, "--data-dir", str(data_dir), *options]
    variables = {**os.environ, "ORCHESTRATOR_LOG_LEVEL": "error", **(environment or {})}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)  # otherwise every start would compile the program again
    return Server(subprocess.Popen(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True))


def start(verb: str, data_dir: Path, options: Sequence[str] = (), environment: dict[str, str] | None = None) -> Server:
    """Start a command of the program and wait until it is ready."""
    server = launch(verb, data_dir, options, environment)
    server.await_ready()
    return server


@contextmanager
def dev(options: Sequence[str] = (), environment: dict[str, str] | None = None) -> Iterator[tuple[Server, Path]]:
    """Run `orchestrator dev` on a free port in a directory that is removed afterwards."""
    with open_folder() as data_dir:
        server = start("dev", data_dir, ["--port", "0", "--skills", "benchmarks.skills", *options], environment)
        try:
            yield server, data_dir
        finally:
            server.stop()


@contextmanager
def database(data_dir: Path) -> Iterator["psycopg.Connection[tuple[object, ...]]"]:
    """Connect to the database of a data directory while the program uses it."""
    from orchestrator.postgres.embedded import EmbeddedPostgres  # noqa: PLC0415

    with EmbeddedPostgres(data_dir) as postgres, psycopg.connect(postgres.conninfo(), autocommit=True) as connection:
        yield connection
