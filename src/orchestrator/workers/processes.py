"""Execute Python skills in child processes, so that a skill that does not stop can be killed with its process.

Each child performs one call at a time. A cancelled call is asked to stop (SIGTERM). After a grace period its process
is killed (SIGKILL) and replaced.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from orchestrator.domain.output import Output, StepError
from orchestrator.skills.call import SkillCall
from orchestrator.skills.errors import SKILL_TIMEOUT, WORKER_LOST, SkillError, to_skill_error
from orchestrator.skills.fitness import AttemptStore, Fitness
from orchestrator.skills.logs import StepLog
from orchestrator.skills.registry import SkillRegistry
from orchestrator.skills.secrets import Secrets
from orchestrator.skills.threads import DaemonThreads
from orchestrator.workers.child import Child
from orchestrator.workers.executor import (
    LocalExecutor,
    OnBegun,
    OpenLog,
    OutputKeeper,
    ReportStep,
    attempt_log,
    ignore,
    spilled,
    unlogged,
)


class ProcessExecutor:
    """Performs calls of Python skills in up to `size` child processes, started on demand.

    Command skills run in their own processes and HTTP skills call remote services, so both are performed directly
    from this process.
    """

    def __init__(
        self,
        registry: SkillRegistry,
        keeper: OutputKeeper,
        *,
        sources: tuple[str, ...],
        make_sink: Callable[[], AttemptStore],
        size: int = 4,
        grace_seconds: float = 5.0,
        on_progress: ReportStep | None = None,
        secrets: Secrets | None = None,
        open_log: OpenLog = unlogged,
    ) -> None:
        self._registry = registry
        self._keeper = keeper
        self._sources = sources
        self._make_sink = make_sink
        self._grace_seconds = grace_seconds
        self._on_progress = on_progress
        self._secrets = secrets
        self._open_log = open_log
        self._slots = asyncio.Semaphore(size)
        # A separate thread pool: asyncio's is small, and each call occupies a thread until its child answers.
        self._threads = DaemonThreads("child")
        self._local = LocalExecutor(
            registry, keeper, self._threads, on_progress=on_progress, secrets=secrets, open_log=open_log
        )
        self._fitness = Fitness(keeper)
        self._idle: list[Child] = []
        self._starting: set[asyncio.Future[Child]] = set()
        self._ending: set[asyncio.Task[None]] = set()

    def skill(self, skill_id: str) -> str | None:
        """Return `id@version` of a skill, or None when this worker does not have it."""
        return self._registry.label(skill_id)

    def trouble(self) -> str | None:
        """Return what this process lacks to perform any call, or None."""
        return self._local.trouble() or self._fitness.trouble()

    async def execute(self, call: SkillCall, begun: OnBegun = ignore) -> Output:
        """Perform a call in a child process; when cancelled, return only after the skill has ended.

        Raises:
            SkillError: the error the skill raised; WORKER_LOST when its process died; SKILL_TIMEOUT when it neither
                returned in time nor stopped when asked to.
            WorkerUnfit: the child or this process lacks a resource. The child is replaced.
        """
        if self._registry.get(call.skill_id).kind != "python":
            return await self._local.execute(call, begun)
        with self._fitness.judging(), attempt_log(self._open_log, call) as log:
            return await self._execute(call, begun, log)

    async def _execute(self, call: SkillCall, begun: OnBegun, log: StepLog | None) -> Output:
        async with self._slots:
            child = self._idle_child() or await self._started()
            begun()
            try:
                result = await self._result(child, call, log)
            except BaseException:
                # A separate task: a second cancellation must not interrupt the cleanup.
                ending = asyncio.create_task(self._end(child))
                self._ending.add(ending)
                ending.add_done_callback(self._ending.discard)
                await asyncio.shield(ending)
                raise
            self._idle.append(child)
        if isinstance(result, StepError):
            raise to_skill_error(result)
        return await spilled(self._keeper, call.tenant, result)

    def _idle_child(self) -> Child | None:
        """Return an idle child, or None; drop those that have ended."""
        while self._idle:
            child = self._idle.pop()
            if child.is_alive:
                return child
            self._threads.submit(child.kill)  # it is dead: this closes its pipes
        return None

    async def close(self) -> None:
        """End all children."""
        if self._starting:
            await asyncio.wait(self._starting)
        await asyncio.gather(*self._ending)
        while self._idle:
            await self._end(self._idle.pop())

    async def _started(self) -> Child:
        """Return a new child. If the caller is cancelled, keep the child for the next call."""
        starting = asyncio.get_running_loop().run_in_executor(self._threads, Child)
        self._starting.add(starting)
        try:
            await asyncio.wait([starting])
        except asyncio.CancelledError:
            starting.add_done_callback(lambda _: self._keep(starting))
            raise
        self._starting.discard(starting)
        return starting.result()

    def _keep(self, started: "asyncio.Future[Child]") -> None:
        self._starting.discard(started)
        if not started.cancelled() and started.exception() is None:
            self._idle.append(started.result())

    async def _result(self, child: Child, call: SkillCall, log: StepLog | None) -> Output | StepError:
        limit = None if call.timeout_ms is None else call.timeout_ms / 1000 + self._grace_seconds
        child.perform(
            self._threads, self._sources, call, self._make_sink, self._on_progress, secrets=self._secrets, log=log
        )
        try:
            async with asyncio.timeout(limit):
                result = await child.answer()
        except TimeoutError:
            raise SkillError(SKILL_TIMEOUT, f"{call.skill_id} did not stop after {call.timeout_ms} ms") from None
        if isinstance(result, EOFError | OSError):
            code = await asyncio.get_running_loop().run_in_executor(self._threads, child.exit_code)
            raise SkillError(WORKER_LOST, f"the process of {call.skill_id} {code}", retryable=True) from result
        if isinstance(result, Exception):
            raise result
        return result

    async def _end(self, child: Child) -> None:
        """Ask a child to stop, then kill it after the grace period."""
        child.ask_to_stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._grace_seconds if child.is_busy else 0):
                await child.answer()
        await asyncio.get_running_loop().run_in_executor(self._threads, child.kill)
