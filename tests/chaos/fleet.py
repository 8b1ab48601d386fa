"""Worker processes, as a user starts them: `orchestrator worker`."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LEASE_SECONDS = 1.0


@dataclass
class WorkerProcess:
    """One process; `id` is the worker's once it is ready."""

    process: "subprocess.Popen[str]"
    id: str = ""
    frozen: bool = False

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def await_ready(self) -> None:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("ready worker "), f"the worker ended with {self.process.poll()}: {line!r}"
        self.id = line.split()[-1]

    def kill(self) -> None:
        """Kill -9, also when it is frozen."""
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)
        self.frozen = True

    def thaw(self) -> None:
        self.frozen = False
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGCONT)

    def ask_to_end(self) -> None:
        self.process.terminate()


@dataclass
class Fleet:
    """Starts workers on a database and ends them all."""

    database_url: str
    folder: Path
    step_seconds: float = 0.02
    workers: list[WorkerProcess] = field(default_factory=list)

    def launch(self, database_url: str | None = None) -> WorkerProcess:
        """Start a worker without waiting until it is ready."""
        variables = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")}
        variables |= {
            "ORCHESTRATOR_DATABASE_URL": database_url or self.database_url,
            "ORCHESTRATOR_DATA_DIR": str(self.folder),
            "ORCHESTRATOR_LEASE_SECONDS": str(LEASE_SECONDS),
            "ORCHESTRATOR_HEARTBEAT_SECONDS": "0.3",
            "ORCHESTRATOR_SHUTDOWN_GRACE_SECONDS": "1",
            "ORCHESTRATOR_LOG_LEVEL": "warning",
            "CHAOS_STEP_SECONDS": str(self.step_seconds),
        }
        command = [sys.executable, "-m", "orchestrator", "worker", "--skills", "tests.chaos.skills"]
        with (self.folder / "workers.log").open("a") as log:
            process = subprocess.Popen(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, stderr=log, text=True)
        worker = WorkerProcess(process)
        self.workers.append(worker)
        return worker

    def start(self, number: int = 1, database_url: str | None = None) -> list[WorkerProcess]:
        """Start workers and wait until all are ready."""
        started = [self.launch(database_url) for _ in range(number)]
        for worker in started:
            worker.await_ready()
        return started

    def owner(self, worker_id: str) -> WorkerProcess:
        """The process whose worker has this id."""
        return next(worker for worker in self.workers if worker.id == worker_id)

    @property
    def alive(self) -> list[WorkerProcess]:
        return [worker for worker in self.workers if worker.alive]


@contextmanager
def open_fleet(database_url: str, folder: Path, step_seconds: float = 0.02) -> Iterator[Fleet]:
    fleet = Fleet(database_url, folder, step_seconds)
    try:
        yield fleet
    finally:
        for worker in fleet.alive:
            worker.kill()
        for worker in fleet.workers:
            assert worker.process.stdout is not None
            worker.process.stdout.close()
