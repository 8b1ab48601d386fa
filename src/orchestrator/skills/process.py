"""Performing a call in a child process: the function that a process pool, or a cluster, is given."""

import asyncio
import pickle
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import cache
from typing import Any

from orchestrator.domain.output import Output, StepError
from orchestrator.skills.call import SkillCall
from orchestrator.skills.connections import close_connections
from orchestrator.skills.context import ArtifactSink, ReportProgress, StepContext
from orchestrator.skills.errors import WorkerUnfit, to_step_error
from orchestrator.skills.fitness import Fitness
from orchestrator.skills.perform import perform
from orchestrator.skills.registry import SkillRegistry
from orchestrator.skills.threads import DaemonThreads


def perform_in_process(
    sources: tuple[str, ...],
    call: SkillCall,
    make_sink: Callable[[], ArtifactSink],
    on_progress: ReportProgress | None = None,
) -> Output | StepError | WorkerUnfit:
    """Perform one attempt in this process, which has nothing else to do meanwhile.

    SIGTERM cancels the attempt (and the program or thread it waits for), not the process. A thread that was told to
    stop is waited for: whoever asked ends the process when that takes too long. Never raises. WorkerUnfit is returned
    when this process lacks something: it is better replaced.

    Args:
        sources: what the registry of this process is loaded from, once: see `SkillRegistry.load_modules`.
        call: what to perform.
        make_sink: builds the artifact store, once; picklable, such as `partial(ArtifactStore, url)`.
        on_progress: called from whatever thread the skill reports from.
    """
    try:
        registry, sink = _registry(sources), _sink(pickle.dumps(make_sink))
        return asyncio.run(_perform(registry, call, sink, on_progress))
    except Exception as error:  # noqa: BLE001 - it travels as a value
        return Fitness().judge(error) or to_step_error(error)
    except BaseException as error:  # noqa: BLE001 - the same
        return to_step_error(error)


async def _perform(
    registry: SkillRegistry, call: SkillCall, sink: ArtifactSink, on_progress: ReportProgress | None
) -> Output:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    listens = task is not None and threading.current_thread() is threading.main_thread()
    if task is not None and listens:
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    threads = _Threads()
    try:
        ctx = StepContext.for_call(call, sink, on_progress)
        return await perform(registry.get(call.skill_id), call, ctx, threads)
    finally:
        wait(threads.calls)
        if listens:
            loop.remove_signal_handler(signal.SIGTERM)
        await close_connections()


class _Threads(DaemonThreads):
    """Remembers its calls: `perform` leaves one behind that was told to stop twice."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Future[Any]] = []

    def submit(self, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Start the call at once."""
        self.calls.append(super().submit(*args, **kwargs))
        return self.calls[-1]


@cache
def _registry(sources: tuple[str, ...]) -> SkillRegistry:
    registry = SkillRegistry()
    registry.load_modules(sources)
    return registry


@cache
def _sink(pickled: bytes) -> ArtifactSink:
    make_sink: Callable[[], ArtifactSink] = pickle.loads(pickled)  # noqa: S301 - pickled by us, just above
    return make_sink()
