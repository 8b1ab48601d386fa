"""Worker processes on the database of a test."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestrator.settings import Settings

SKILLS = Path(__file__).with_name("slow_skill.py")


@dataclass(slots=True)
class WorkerProcess:
    """A process of `orchestrator worker`."""

    process: "subprocess.Popen[str]"

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        """Kill -9."""
        self.process.kill()
        self.process.wait()


@contextmanager
def worker_process(settings: Settings) -> Iterator[WorkerProcess]:
    """A worker process that is ready; at the end it is told to stop."""
    variables = {
        **os.environ,
        "ORCHESTRATOR_DATABASE_URL": settings.database_url or "",
        "ORCHESTRATOR_DATA_DIR": str(settings.data_dir),
        "ORCHESTRATOR_ARTIFACT_URL": settings.artifact_url,
        "ORCHESTRATOR_REDIS_URL": settings.redis_url or "",
        "ORCHESTRATOR_MAX_RUNS": str(settings.max_runs),
        "ORCHESTRATOR_LOG_LEVEL": "warning",
    }
    words = [sys.executable, "-m", "orchestrator", "worker", "--skills", str(SKILLS)]
    process = subprocess.Popen(words, env=variables, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        try:
            assert process.stdout.readline().startswith("ready worker")
            yield WorkerProcess(process)
        finally:
            process.terminate()
            process.wait(30)
