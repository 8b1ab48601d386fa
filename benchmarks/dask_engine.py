"""A Dask cluster of real processes on loopback: a scheduler and workers with nannies, each in a folder of its own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
from distributed import Client

_START_SECONDS = 60.0
_PAUSE_SECONDS = 0.05


class DaskEngine:
    """A scheduler with workers; used as a context manager all of its processes are gone at the end.

    Args:
        folder: for the scheduler's address and the files of workers.
        skills: what ORCHESTRATOR_SKILLS of the workers says.
        workers: how many worker processes there are.
        threads: how many tasks each of them executes at once.
        resources: what each worker offers, such as `GPU=1 eu=1`.
        allowed_failures: after how many losses of its worker Dask gives a task up.
    """

    def __init__(
        self,
        folder: Path,
        skills: str,
        *,
        workers: int = 1,
        threads: int = 4,
        resources: str = "eu=1",
        allowed_failures: int = 0,
    ) -> None:
        self._folder = folder
        self._address_file = folder / "scheduler.json"
        self._workers = workers
        self._threads = threads
        self._resources = resources
        self._env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")},
            "ORCHESTRATOR_SKILLS": skills,
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": str(allowed_failures),
            "DASK_DISTRIBUTED__SCHEDULER__WORKER_SATURATION": "1.0",
        }
        self._scheduler: subprocess.Popen[bytes] | None = None
        self._nannies: list[subprocess.Popen[bytes]] = []
        self._port = 0

    @property
    def url(self) -> str:
        """The url of the executor."""
        return f"dask+tcp://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        try:
            self.start_scheduler()
            self.start_workers()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start_scheduler(self) -> None:
        """Start the scheduler, on the port that it had before."""
        self._address_file.unlink(missing_ok=True)
        self._scheduler = self._started(
            "scheduler", "--host", "127.0.0.1", "--port", str(self._port), "--no-dashboard",
            "--dashboard-address", "127.0.0.1:0", "--no-show", "--scheduler-file", str(self._address_file),
        )  # fmt: skip
        self._port = int(str(self._description()["address"]).rpartition(":")[2])

    def start_workers(self) -> None:
        """Start the workers, and wait until the scheduler knows them."""
        for _ in range(self._workers):
            self._nannies.append(
                self._started(
                    "worker",
                    f"tcp://127.0.0.1:{self._port}",
                    "--host",
                    "127.0.0.1",
                    "--nthreads",
                    str(self._threads),
                    "--no-dashboard",
                    "--dashboard-address",
                    "127.0.0.1:0",
                    "--resources",
                    self._resources,
                    "--local-directory",
                    str(self._folder / "workers"),
                )
            )
        self.wait_for_workers()

    def wait_for_workers(self) -> None:
        """Wait until every worker has connected."""
        with Client(f"tcp://127.0.0.1:{self._port}", set_as_default=False, timeout=_START_SECONDS) as client:
            client.wait_for_workers(self._workers, timeout=_START_SECONDS)

    def worker_processes(self) -> list[psutil.Process]:
        """The processes that execute tasks: the children of the nannies."""
        return [
            child
            for nanny in self._nannies
            for child in psutil.Process(nanny.pid).children()
            if "spawn_main" in " ".join(child.cmdline())
        ]

    def kill_worker(self) -> None:
        """Kill the first process that executes tasks; its nanny starts another."""
        self.worker_processes()[0].kill()

    def kill_scheduler(self) -> None:
        """Kill the scheduler."""
        if self._scheduler is not None:
            self._scheduler.kill()
            self._scheduler.wait()

    def stop(self) -> None:
        """End all processes."""
        self.stop_workers()
        self.kill_scheduler()

    def stop_workers(self) -> None:
        """End all workers and what they started."""
        running = [nanny for nanny in self._nannies if nanny.poll() is None]
        below = [child for nanny in running for child in psutil.Process(nanny.pid).children(True)]
        for nanny in self._nannies:
            nanny.kill()
            nanny.wait()
        for child in below:
            if child.is_running():
                child.kill()
        self._nannies.clear()

    def _started(self, *words: str) -> "subprocess.Popen[bytes]":
        out = (self._folder / f"{words[0]}.log").open("ab")
        with out:
            return subprocess.Popen(
                [sys.executable, "-m", "dask", *words], env=self._env, stdout=out, stderr=out, cwd=self._folder
            )

    def _description(self) -> Mapping[str, object]:
        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until:
            try:
                found: Mapping[str, object] = json.loads(self._address_file.read_text())
            except (OSError, ValueError):
                time.sleep(_PAUSE_SECONDS)  # nothing tells when
            else:
                return found
        raise TimeoutError("the Dask scheduler did not start: " + (self._folder / "scheduler.log").read_text()[-2000:])
