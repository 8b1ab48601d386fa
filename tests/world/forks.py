"""Programs that start quickly: forked from a process that has imported the program already.

    test --(words, environment, folder, three streams)--> this module as a program --fork--> the program

A program that is started so is a real process with its own pid, streams, environment and signals. What it lacks is the
second of importing, which most tests do not ask about. Those that do start an interpreter of their own.
"""

import array
import atexit
import gc
import io
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_PRELOADED = (
    "orchestrator.cli.app",
    "orchestrator.cli.errors",
    "orchestrator.cli.asking",
    "orchestrator.cli.logging",
    "orchestrator.cli.serving.server",
    "orchestrator.cli.output.reports",
    "orchestrator.cli.output.plans",
    "orchestrator.bootstrap.core",
    "orchestrator.bootstrap.working",
    "orchestrator.bootstrap.showing",
    "orchestrator.api.app",
    "orchestrator.application.calls",
    "orchestrator.client",
    "orchestrator.postgres.embedded",
    "orchestrator.workflows.payload_schema",
)
_MESSAGE_BYTES = 1 << 20
_INTERPRETER = ("PYTHON", "LC_", "LANG", "LD_", "TZ")
"""Variables that an interpreter reads when it starts: a program that is given any of them needs its own."""


def can_fork(env: Mapping[str, str]) -> bool:
    """Return whether a program with this environment is the same when it is forked."""
    names = {name for name in (*env, *os.environ) if name.startswith(_INTERPRETER)}
    return all(env.get(name) == os.environ.get(name) for name in names)


class Forked:
    """A program that was forked; it has what the tests use of `subprocess.Popen`."""

    def __init__(
        self, words: Sequence[str | Path], env: Mapping[str, str], cwd: Path | None, streams: Sequence[int]
    ) -> None:
        self._report, theirs = socket.socketpair()
        with theirs:
            self.pid = _server().fork([*map(str, words)], env, cwd, [*streams, theirs.fileno()])
        self.returncode: int | None = None
        self.cpu_seconds = 0.0

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        return self._look(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit code; raises subprocess.TimeoutExpired."""
        code = self._look(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(f"forked program {self.pid}", timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill -9."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def _look(self, seconds: float | None) -> int | None:
        if self.returncode is None and select.select([self._report], [], [], seconds)[0]:
            said = self._report.recv(4096)
            assert said, "the process that forks programs has died"
            report = json.loads(said)
            self.returncode, self.cpu_seconds = report["code"], report["cpuSeconds"]
            self._report.close()
        return self.returncode


class _Server:
    """The process that forks programs; it ends with this one."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
            )

    def fork(self, words: Sequence[str], env: Mapping[str, str], cwd: Path | None, descriptors: Sequence[int]) -> int:
        request = json.dumps({"words": list(words), "env": dict(env), "cwd": str(cwd or Path.cwd())}).encode()
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MESSAGE_BYTES)
        self._socket.sendmsg([request], [rights])
        return int(self._socket.recv(64))


@cache
def _server_of(pid: int) -> _Server:
    """Return the server of this process: a fork of it must not share one."""
    assert pid == os.getpid()
    return _Server()


def _server() -> _Server:
    return _server_of(os.getpid())


def _serve(control: socket.socket) -> None:
    """Fork programs until the tests have ended; returns only in a forked program, ready to run it."""
    awake, wake = socket.socketpair()
    for end in (awake, wake):
        end.setblocking(False)
    signal.set_wakeup_fd(wake.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests
    reports: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([control, awake], [], [])
        if awake in ready:
            awake.recv(4096)
            _report_ended(reports)
        if control not in ready:
            continue
        size = array.array("i").itemsize
        said, ancillary, _, _ = control.recvmsg(_MESSAGE_BYTES, socket.CMSG_SPACE(4 * size))
        if not said:
            os._exit(0)
        descriptors = array.array("i")
        for _, _, rights in ancillary:
            descriptors.frombytes(rights[: len(rights) - len(rights) % size])
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            for each in (control, awake, wake, *reports.values()):
                each.close()
            _become(json.loads(said), list(descriptors))
            return
        reports[pid] = socket.socket(fileno=descriptors[3])
        for descriptor in descriptors[:3]:
            os.close(descriptor)
        control.send(str(pid).encode())


def _report_ended(reports: dict[int, socket.socket]) -> None:
    while reports:
        pid, status, usage = os.wait4(-1, os.WNOHANG)
        if pid == 0:
            return
        with reports.pop(pid) as report, suppress(OSError):
            spent = usage.ru_utime + usage.ru_stime
            report.send(json.dumps({"code": os.waitstatus_to_exitcode(status), "cpuSeconds": spent}).encode())


def _become(request: dict[str, object], descriptors: Sequence[int]) -> None:
    """Make this process look as if it had just been started with these words."""
    for number, descriptor in enumerate(descriptors[:3]):
        os.dup2(descriptor, number)
    for descriptor in descriptors:
        if descriptor > 2:
            os.close(descriptor)
    env, words = request["env"], request["words"]
    assert isinstance(env, dict)
    assert isinstance(words, list)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    tempfile.tempdir = None
    os.chdir(str(request["cwd"]))
    sys.path[0] = str(Path.cwd())
    sys.argv = ["orchestrator", *words]
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - as the interpreter does
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr


def main() -> None:
    sys.path[0] = ""
    for name in _PRELOADED:
        __import__(name)
    gc.collect()
    gc.freeze()
    _serve(socket.socket(fileno=int(sys.argv[1])))
    code = 1
    try:
        runpy.run_module("orchestrator", run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as error:
        code = _exit_code(error)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:  # noqa: BLE001 - shown as the interpreter does
        sys.excepthook(*sys.exc_info())
    # What the interpreter does at the end, apart from taking every module apart.
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in gc.get_objects():
        if isinstance(stream, io.TextIOWrapper | io.BufferedWriter) and not stream.closed:
            with suppress(OSError, ValueError):
                stream.flush()
    os._exit(code)


def _exit_code(error: SystemExit) -> int:
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF
    print(error.code, file=sys.stderr)
    return 1


if __name__ == "__main__":
    main()
