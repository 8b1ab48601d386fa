"""Executing calls in child processes: a skill that will not stop can be ended with its process.

Each child performs one call at a time. A call that is cancelled is asked to stop (SIGTERM) and, after a
grace period, ended with its process (SIGKILL); another takes the place.
"""

import asyncio
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from orchestrator.domain.output import Output, StepError
from orchestrator.skills.call import SkillCall
from orchestrator.skills.context import ArtifactSink
from orchestrator.skills.errors import SKILL_TIMEOUT, WORKER_LOST, SkillError
from orchestrator.skills.process import perform_in_process
from orchestrator.skills.registry import SkillRegistry
from orchestrator.workers.executor import OutputKeeper, ReportStep, skill_name, spilled

_SPAWN = multiprocessing.get_context("spawn")
_REPORT_SECONDS = 0.2
_REPORT_CHARACTERS = 1000


class ProcessExecutor:
    """Performs calls in up to `size` child processes, started when they are first needed."""

    def __init__(
        self,
        registry: SkillRegistry,
        keeper: OutputKeeper,
        *,
        sources: tuple[str, ...],
        make_sink: Callable[[], ArtifactSink],
        size: int = 4,
        grace_seconds: float = 5.0,
        on_progress: ReportStep | None = None,
    ) -> None:
        self._registry = registry
        self._keeper = keeper
        self._sources = sources
        self._make_sink = make_sink
        self._grace_seconds = grace_seconds
        self._on_progress = on_progress
        self._places = asyncio.Semaphore(size)
        self._idle: list[_Child] = []
        self._ending: set[asyncio.Task[None]] = set()

    def skill(self, skill_id: str) -> str | None:
        """Return `id@version` of a skill, or None when it is not known here."""
        return skill_name(self._registry, skill_id)

    async def execute(self, call: SkillCall) -> Output:
        """Perform a call in a child; when cancelled, see to it that the skill has ended.

        Raises:
            SkillError: what the skill raised; WORKER_LOST when its process died, SKILL_TIMEOUT when it neither
                returned in time nor stopped when asked to.
        """
        async with self._places:
            child = self._idle.pop() if self._idle else await asyncio.to_thread(_Child)
            try:
                result = await self._result(child, call)
            except BaseException:
                # A task of its own: a second cancellation must not stop what the first one began.
                ending = asyncio.create_task(self._end(child))
                self._ending.add(ending)
                ending.add_done_callback(self._ending.discard)
                await asyncio.shield(ending)
                raise
            self._idle.append(child)
        if isinstance(result, StepError):
            raise SkillError(
                result.code,
                result.message,
                retryable=result.retryable,
                details=result.details,
                retry_after_ms=result.retry_after_ms,
            )
        return await spilled(self._keeper, call.tenant, result)

    async def close(self) -> None:
        """End the children."""
        await asyncio.gather(*self._ending)
        while self._idle:
            await self._end(self._idle.pop())

    async def _result(self, child: "_Child", call: SkillCall) -> Output | StepError:
        limit = None if call.timeout_ms is None else call.timeout_ms / 1000 + self._grace_seconds
        try:
            async with asyncio.timeout(limit):
                return await child.perform(self._sources, call, self._make_sink, self._on_progress)
        except TimeoutError:
            raise SkillError(SKILL_TIMEOUT, f"{call.skill_id} did not stop after {call.timeout_ms} ms") from None
        except (EOFError, OSError) as error:
            raise SkillError(WORKER_LOST, f"the process of {call.skill_id} died", retryable=True) from error

    async def _end(self, child: "_Child") -> None:
        """Ask a child to stop, then make it."""
        child.ask_to_stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._grace_seconds if child.is_busy else 0):
                await child.ended()
        await asyncio.to_thread(child.kill)


@dataclass(frozen=True, slots=True)
class _Progress:
    """What a skill says of itself, on its way from the child."""

    fraction: float
    message: str


class _Reporter:
    """The child's end: sends progress, a few words a second at most, and none after the call."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()
        self._next = 0.0
        self._closed = False

    def report(self, fraction: float, message: str) -> None:
        """Send how far the call is, unless that was done just now."""
        with self._lock:
            now = time.monotonic()
            if not self._closed and now >= self._next:
                self._next = now + _REPORT_SECONDS
                self._pipe.send(_Progress(fraction, message[:_REPORT_CHARACTERS]))

    def close(self) -> None:
        """Send no more: the result comes next."""
        with self._lock:
            self._closed = True


class _Child:
    """A child process and the pipe to it."""

    def __init__(self) -> None:
        self._pipe, theirs = _SPAWN.Pipe()
        self._process: BaseProcess = _SPAWN.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        self.is_busy = False

    async def perform(
        self,
        sources: tuple[str, ...],
        call: SkillCall,
        make_sink: Callable[[], ArtifactSink],
        on_progress: ReportStep | None,
    ) -> Output | StepError:
        """Send a call and await its result; tell what the skill says of itself meanwhile."""
        self.is_busy = True
        # In threads: a large input waits until the child has started, a large result until all of it is here.
        await asyncio.to_thread(self._pipe.send, (sources, call, make_sink))
        while isinstance(answer := await self._answer(), _Progress):
            if on_progress is not None:
                on_progress(call, answer.fraction, answer.message)
        self.is_busy = False
        return answer

    async def ended(self) -> None:
        """Return when the call has a result, which nobody wants any more, or the child is gone."""
        with suppress(EOFError, OSError):
            while isinstance(await self._answer(), _Progress):
                pass

    async def _answer(self) -> "Output | StepError | _Progress":
        """Return what the child says next."""
        await self._readable()
        answer: Output | StepError | _Progress = await asyncio.to_thread(self._pipe.recv)
        return answer

    async def _readable(self) -> None:
        """Return when there is something to read: an answer, or the end."""
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self._pipe.fileno(), readable.set)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(self._pipe.fileno())

    def ask_to_stop(self) -> None:
        """Cancel the call it performs."""
        if self._process.pid is not None and self._process.is_alive():
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End the process whatever it does, and wait for it."""
        self._process.kill()
        self._process.join()
        self._pipe.close()


def _serve(pipe: Connection) -> None:
    """The child: perform what comes through the pipe, until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            sources, call, make_sink = pipe.recv()
        except EOFError:
            return
        reporter = _Reporter(pipe)
        result = perform_in_process(sources, call, make_sink, reporter.report)
        reporter.close()
        pipe.send(result)


def _end_with_parent() -> None:
    """End the child, whatever it does, when its worker was killed: nobody takes its results any more."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGKILL)
