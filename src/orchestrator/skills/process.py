"""Perform a call in a child process: the function to submit to a process pool or a cluster."""

import asyncio
import logging
import pickle
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import cache
from typing import Any

import structlog

from orchestrator.domain.output import Output, StepError
from orchestrator.skills.call import SkillCall
from orchestrator.skills.connections import close_connections
from orchestrator.skills.context import ArtifactSink, ReportProgress, StepContext
from orchestrator.skills.errors import WorkerUnfit, to_step_error
from orchestrator.skills.fitness import AttemptStore, Fitness
from orchestrator.skills.logs import StepLog
from orchestrator.skills.perform import perform
from orchestrator.skills.registry import SkillRegistry
from orchestrator.skills.secrets import Secrets, mask
from orchestrator.skills.standard_streams import outside
from orchestrator.skills.threads import DaemonThreads


def perform_in_process(
    sources: tuple[str, ...],
    call: SkillCall,
    make_sink: Callable[[], AttemptStore],
    on_progress: ReportProgress | None = None,
    *,
    secrets: Secrets | None = None,
    step_log: StepLog | None = None,
) -> Output | StepError | WorkerUnfit:
    """Perform one attempt in this process, which does nothing else at the same time.

    SIGTERM cancels the attempt (and the program or thread it waits for), not the process. This function then waits for
    threads that were asked to stop; the caller must kill the process if that takes too long. Never raises: errors are
    returned. WorkerUnfit is returned when this process lacks a resource and should be replaced.

    Args:
        sources: the sources of the skills, loaded once per process; see `SkillRegistry.load_modules`.
        call: the call to perform.
        make_sink: builds the artifact store, once per process; picklable, such as `partial(ArtifactStore, url)`.
        on_progress: called from the thread in which the skill reports progress.
        secrets: where skills get secrets, kept from call to call; None for none.
        step_log: gets what the skill prints (see `step_streams`) and logs, or None if nothing is kept.
    """
    sink = None
    try:
        registry, sink = _registry(sources), _sink(pickle.dumps(make_sink))
        kept = None if secrets is None else _secrets(pickle.dumps(secrets))
    except Exception as error:  # noqa: BLE001 - returned as a value
        return Fitness(sink).judge(error) or to_step_error(error)
    return perform_here(registry, call, sink, on_progress, secrets=kept, step_log=step_log)


def perform_here(
    registry: SkillRegistry,
    call: SkillCall,
    sink: AttemptStore,
    on_progress: ReportProgress | None = None,
    *,
    secrets: Secrets | None = None,
    step_log: StepLog | None = None,
) -> Output | StepError | WorkerUnfit:
    """Perform one attempt in this process with skills that are loaded; see `perform_in_process`. Never raises."""
    try:
        return asyncio.run(_perform(registry, call, sink, on_progress, secrets=secrets, step_log=step_log))
    except Exception as error:  # noqa: BLE001 - returned as a value
        return Fitness(sink).judge(error) or to_step_error(error)
    except BaseException as error:  # noqa: BLE001 - the same
        return to_step_error(error)


async def _perform(
    registry: SkillRegistry,
    call: SkillCall,
    sink: ArtifactSink,
    on_progress: ReportProgress | None,
    *,
    secrets: Secrets | None,
    step_log: StepLog | None,
) -> Output:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    listens = task is not None and threading.current_thread() is threading.main_thread()
    if task is not None and listens:
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    threads = _Threads()
    try:
        ctx = StepContext.for_call(call, sink, on_progress, secrets, step_log)
        return await perform(registry.get(call.skill_id), call, ctx, threads)
    finally:
        wait(threads.calls)
        if listens:
            loop.remove_signal_handler(signal.SIGTERM)
        await close_connections()


class _Threads(DaemonThreads):
    """Keeps a list of its calls, because `perform` may abandon one that is still running."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Future[Any]] = []

    def submit(self, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Start the call immediately, and remember it."""
        self.calls.append(super().submit(*args, **kwargs))
        return self.calls[-1]


@cache
def _registry(sources: tuple[str, ...]) -> SkillRegistry:
    registry = SkillRegistry()
    registry.load_modules(sources)
    return registry


@cache
def _secrets(pickled: bytes) -> Secrets:
    mask_own_log()
    secrets: Secrets = pickle.loads(pickled)  # noqa: S301 - pickled by us, in `perform_in_process`
    return secrets


def mask_own_log() -> None:
    """Mask secrets in the log of this process, which nothing has configured."""
    structlog.configure(
        processors=[*structlog.get_config()["processors"], _mask_line],
        logger_factory=structlog.PrintLoggerFactory(outside(sys.stderr)),
    )
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_MaskedLines())


class _MaskedLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return mask(super().format(record))


def _mask_line(_logger: Any, _method: str, line: Any) -> Any:
    return mask(line) if isinstance(line, str) else line


@cache
def _sink(pickled: bytes) -> AttemptStore:
    make_sink: Callable[[], AttemptStore] = pickle.loads(pickled)  # noqa: S301 - pickled by us, just above
    return make_sink()
