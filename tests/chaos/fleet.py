"""Worker processes: what `orchestrator worker` does, in processes that are forked from one that has imported it all.

So a worker is there in a fraction of a second, and a storm can afford to kill one after each event.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

LEASE_SECONDS = 1.0
_FORK = multiprocessing.get_context("forkserver")
_FORK.set_forkserver_preload(["tests.chaos.skills", "orchestrator.cli.serving.server"])


@dataclass
class WorkerProcess:
    """One process; `id` is the worker's once it is ready."""

    process: ForkServerProcess
    told: Connection
    log: Path
    id: str = ""
    frozen: bool = False

    @property
    def alive(self) -> bool:
        return self.process.is_alive()

    def await_ready(self) -> None:
        try:
            self.id = self.told.recv()
        except EOFError:
            self.process.join()
            said = self.log.read_text()[-2000:]
            raise AssertionError(f"a worker ended with {self.process.exitcode}: {said}") from None

    def kill(self) -> None:
        """Kill -9, also when it is frozen."""
        self.process.kill()
        self.process.join()

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)
        self.frozen = True

    def thaw(self) -> None:
        self.frozen = False
        self._signal(signal.SIGCONT)

    def ask_to_end(self) -> None:
        self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        if self.process.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, number)


@dataclass
class Fleet:
    """Starts workers on a database and ends them all."""

    database_url: str
    folder: Path
    step_seconds: float = 0.02
    lease_seconds: float = LEASE_SECONDS
    max_runs: int = 500
    network_timeout_ms: int = 10_000
    workers: list[WorkerProcess] = field(default_factory=list)

    def launch(self) -> WorkerProcess:
        """Start a worker without waiting until it is ready."""
        listening, telling = _FORK.Pipe(duplex=False)
        settings = {
            "database_url": self.database_url,
            "data_dir": self.folder,
            "lease_seconds": self.lease_seconds,
            "heartbeat_seconds": 0.3,
            "max_runs": self.max_runs,
            "network_timeout_ms": self.network_timeout_ms,
            "shutdown_grace_seconds": 1.0,
            "log_level": "warning",
            "skills": ("tests.chaos.skills",),
        }
        process = _FORK.Process(target=_work, args=(telling, self.folder, self.step_seconds, settings), daemon=True)
        process.start()
        telling.close()
        worker = WorkerProcess(process, listening, self.folder / "workers.log")
        self.workers.append(worker)
        return worker

    def start(self, number: int = 1) -> list[WorkerProcess]:
        """Start workers and wait until all are ready."""
        started = [self.launch() for _ in range(number)]
        for worker in started:
            worker.await_ready()
        return started

    def owner(self, worker_id: str) -> WorkerProcess:
        """The process whose worker has this id: `host:pid:...`; it may work before it has said that it is ready."""
        pid = int(worker_id.split(":")[-2])
        return next(worker for worker in reversed(self.workers) if worker.process.pid == pid)

    @property
    def alive(self) -> list[WorkerProcess]:
        return [worker for worker in self.workers if worker.alive]


@contextmanager
def open_fleet(database_url: str, folder: Path, **options: Any) -> Iterator[Fleet]:
    """Open a fleet without workers yet; `options` are fields of `Fleet`."""
    fleet = Fleet(database_url, folder, **options)
    try:
        yield fleet
    finally:
        for worker in fleet.alive:
            worker.kill()
        for worker in fleet.workers:
            worker.told.close()


class _Ready:
    """Stands for stdout: hands on the id of `ready worker ID`, and closes the pipe when the process ends."""

    def __init__(self, telling: Connection) -> None:
        self._telling = telling

    def write(self, text: str) -> None:
        if text.startswith("ready worker "):
            self._telling.send(text.rsplit(maxsplit=1)[-1])

    def flush(self) -> None:
        pass


def _work(telling: Connection, folder: Path, step_seconds: float, settings: dict[str, Any]) -> None:
    from orchestrator.cli.serving.server import Parts, serve
    from tests.chaos.skills import JOURNAL, STEP_SECONDS

    for name in [name for name in os.environ if name.startswith("ORCHESTRATOR_")]:
        del os.environ[name]
    os.environ |= {STEP_SECONDS: str(step_seconds), JOURNAL: str(folder / "journal")}
    with (folder / "workers.log").open("a") as log:
        os.dup2(log.fileno(), sys.stderr.fileno())
    sys.stdout = _Ready(telling)  # type: ignore[assignment]
    serve(Parts(worker=True), **settings)
