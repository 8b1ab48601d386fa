"""A Ray cluster of real processes in a network namespace of its own, because Ray listens on all interfaces.

Namespaces belong to threads: the thread that enters one, and the processes and threads that it starts, are inside.
"""

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

_CLONE_NEWNET = 0x40000000
_START_SECONDS = 90.0
_PORT = 10001


class NoNamespace(Exception):
    """No network namespace can be made: it takes root."""


@contextmanager
def own_network() -> Iterator[None]:
    """Enter a new network namespace with a loopback interface; leave it at the end. Linux, as root."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        if libc.unshare(_CLONE_NEWNET):
            raise NoNamespace(f"cannot make a network namespace: {os.strerror(ctypes.get_errno())}")
        try:
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            yield
        finally:
            libc.setns(before, _CLONE_NEWNET)
    finally:
        os.close(before)


class RayEngine:
    """A head node with a client server; used as a context manager all of its processes are gone at the end.

    Args:
        skills: what ORCHESTRATOR_SKILLS of the workers says.
        cpus: how many attempts it executes at once.
    """

    url = f"ray://127.0.0.1:{_PORT}"

    def __init__(self, skills: str, *, cpus: int = 4) -> None:
        self._cpus = cpus
        self._folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))  # the paths of its sockets must be short
        self._env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")},
            "ORCHESTRATOR_SKILLS": skills,
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        self._head: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Start the head, and wait until its client server listens."""
        words = [
            "start", "--head", "--block", "--node-ip-address=127.0.0.1", "--port=6379", f"--num-cpus={self._cpus}",
            f"--ray-client-server-port={_PORT}", "--include-dashboard=false", "--disable-usage-stats",
            "--object-store-memory=100000000", "--resources={\"eu\": 1}", f"--temp-dir={self._folder}",
        ]  # fmt: skip
        with (self._folder / "head.log").open("ab") as out:
            self._head = subprocess.Popen(
                [sys.executable, "-c", "from ray.scripts.scripts import main; main()", *words],
                env=self._env, stdout=out, stderr=out, cwd=self._folder,
            )  # fmt: skip
        until = time.monotonic() + _START_SECONDS
        while f"127.0.0.1:{_PORT}" not in _listeners() and f":::{_PORT}" not in _listeners():
            if time.monotonic() > until or self._head.poll() is not None:
                raise TimeoutError("Ray did not start: " + (self._folder / "head.log").read_text()[-2000:])
            time.sleep(0.1)  # nothing tells when

    def worker_processes(self) -> list[psutil.Process]:
        """The processes that execute tasks now."""
        return [each for each in self._processes() if "ray::" in " ".join(_words(each)) and each.children()]

    def kill_worker(self) -> None:
        """Kill the first process that executes a task and has a slot in use."""
        self.worker_processes()[0].kill()

    def stop(self) -> None:
        """End all processes."""
        found = self._processes()
        if self._head is not None:
            self._head.kill()
            self._head.wait()
        for each in found:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        psutil.wait_procs(found, timeout=10)

    def _processes(self) -> list[psutil.Process]:
        """All processes of the cluster: those below the head, and those that name its folder."""
        if self._head is None:
            return []
        found = {}
        with suppress(psutil.NoSuchProcess):
            found = {each.pid: each for each in psutil.Process(self._head.pid).children(recursive=True)}
        for each in psutil.process_iter():
            if str(self._folder) in " ".join(_words(each)):
                found[each.pid] = each
                with suppress(psutil.NoSuchProcess):
                    found.update({child.pid: child for child in each.children(recursive=True)})
        found.pop(self._head.pid, None)
        return list(found.values())


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _listeners() -> set[str]:
    """Return the addresses that are listened on in this network namespace."""
    listed = subprocess.run(["ss", "-Hltn"], check=True, capture_output=True, text=True).stdout
    found = {line.split()[3] for line in listed.splitlines()}
    return found | {f":::{address.rpartition(':')[2]}" for address in found}
