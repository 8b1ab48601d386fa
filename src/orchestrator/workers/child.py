"""A child process that performs calls, and the pipe to it."""

import asyncio
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from orchestrator.domain.output import Output, StepError
from orchestrator.skills import keeper
from orchestrator.skills.call import SkillCall
from orchestrator.skills.fitness import AttemptStore
from orchestrator.skills.logs import LogLine, StepLog
from orchestrator.skills.process import perform_in_process
from orchestrator.skills.secrets import Secrets
from orchestrator.skills.standard_streams import step_streams
from orchestrator.workers.child_log import LogSender

_SPAWN = multiprocessing.get_context("spawn")
_HAS_KEEPER = sys.platform == "linux"
_KILL_SECONDS = 12.0

Report = Callable[[SkillCall, float, str], None]


class Child:
    """A child process that performs calls; on Linux, a keeper ends it together with the processes its skills started.

    One thread per call reads and writes the pipe, never the event loop: the loop would make the pipe non-blocking, and
    then large messages arrive only in part or not at all.
    """

    def __init__(self) -> None:
        self._pipe, theirs = _SPAWN.Pipe()
        listens, self._orders = _SPAWN.Pipe(duplex=False)
        self._process: BaseProcess = _SPAWN.Process(target=_serve, args=(theirs, listens), daemon=True)
        try:
            self._process.start()
        except BaseException:
            self._pipe.close()
            self._orders.close()
            raise
        finally:
            theirs.close()
            listens.close()
        self._answer: Future[Output | StepError | Exception] | None = None

    @property
    def is_alive(self) -> bool:
        """Whether its process is running."""
        return self._process.is_alive()

    @property
    def is_busy(self) -> bool:
        """Whether a call is in progress."""
        return self._answer is not None and not self._answer.done()

    def perform(
        self,
        threads: Executor,
        sources: tuple[str, ...],
        call: SkillCall,
        make_sink: Callable[[], AttemptStore],
        report: Report | None,
        *,
        secrets: Secrets | None = None,
        log: StepLog | None = None,
    ) -> None:
        """Send a call; `answer` returns its result. `log` gets what the skill prints."""
        self._answer = threads.submit(
            partial(self._exchange, sources, call, make_sink, report, secrets=secrets, log=log)
        )

    async def answer(self) -> Output | StepError | Exception:
        """Return the child's answer, or the error of the exchange: EOFError or OSError when the child died."""
        if self._answer is None:
            return EOFError()
        return await asyncio.shield(asyncio.wrap_future(self._answer))

    def ask_to_stop(self) -> None:
        """Ask the child to cancel its current call."""
        self._order(keeper.ASK, signal.SIGTERM)

    def exit_code(self) -> str:
        """Wait up to 12 seconds for a child that died, and return how it ended, as text for a message."""
        self._process.join(_KILL_SECONDS)
        code = self._process.exitcode
        if code is None:
            return "stopped responding"
        number = code - 128 if code > 128 else -code
        if number <= 0:
            return f"ended with exit code {code}"
        return f"was killed by {signal.Signals(number).name}" if number in set(signal.Signals) else "was killed"

    def kill(self) -> None:
        """Kill the process and wait until it has ended."""
        self._order(keeper.KILL, signal.SIGKILL)
        self._process.join(_KILL_SECONDS)
        self._process.kill()
        self._process.join()
        self._orders.close()
        if self._answer is not None:
            self._answer.exception(_KILL_SECONDS)  # wait: the thread must not read from a closed pipe
        self._pipe.close()

    def _exchange(
        self,
        sources: tuple[str, ...],
        call: SkillCall,
        make_sink: Callable[[], AttemptStore],
        report: Report | None,
        *,
        secrets: Secrets | None,
        log: StepLog | None,
    ) -> Output | StepError | Exception:
        try:
            self._pipe.send((sources, call, make_sink, report is not None, secrets, log is not None))
            while True:
                message: Output | StepError | tuple[float, str] | list[LogLine] = self._pipe.recv()
                if isinstance(message, list):
                    if log is not None:
                        log.extend(message)
                elif not isinstance(message, tuple):
                    return message
                elif report is not None:
                    report(call, *message)
        except Exception as error:  # noqa: BLE001 - returned as a value: nothing may await the future
            return error

    def _order(self, word: bytes, number: signal.Signals) -> None:
        if _HAS_KEEPER:
            with suppress(OSError):
                os.write(self._orders.fileno(), word)
        elif self._process.pid is not None and self._process.is_alive():
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, number)


def _serve(pipe: Connection, orders: Connection) -> None:
    """Run the child: perform the calls received through the pipe until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if _HAS_KEEPER:
        _leave_keeper(pipe, orders)
    else:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    orders.close()
    writing = threading.Lock()

    def send(message: Any) -> None:
        with writing:
            pipe.send(message)

    while True:
        try:
            sources, call, make_sink, wants_progress, secrets, wants_log = pipe.recv()
        except EOFError:
            return
        report = (lambda fraction, message: send((float(fraction), str(message)))) if wants_progress else None
        if wants_log:
            with LogSender(send) as log, step_streams():
                result = perform_in_process(sources, call, make_sink, report, secrets=secrets, step_log=log)
        else:
            result = perform_in_process(sources, call, make_sink, report, secrets=secrets)
        if _HAS_KEEPER:
            keeper.end_descendants()
        send(result)


def _leave_keeper(pipe: Connection, orders: Connection) -> None:
    """Fork: the process that the worker started becomes the keeper, and the new one returns from here."""
    keeper.adopt_orphans()
    wakeup = keeper.on_child_signals()
    pid = os.fork()
    if pid:
        pipe.close()
        signal.signal(signal.SIGTERM, lambda *_: os.kill(pid, signal.SIGKILL))  # the worker's interpreter is exiting
        status = keeper.tend(pid, orders.fileno(), wakeup, ask=os.kill)
        code = os.waitstatus_to_exitcode(status)
        os._exit(code if code >= 0 else 128 - code)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    keeper.end_with_parent()
    keeper.adopt_orphans()


def _end_with_parent() -> None:
    """Kill this process when its worker has ended, because nothing can receive its results any more."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGKILL)
