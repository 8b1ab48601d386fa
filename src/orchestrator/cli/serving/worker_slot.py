"""The worker of a serving process, which can be replaced by one with other skills."""

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from orchestrator.application.core import Core
from orchestrator.bootstrap.working import open_watchdog, open_worker
from orchestrator.skills import SkillRegistry
from orchestrator.workers.logs import OnPrinted
from orchestrator.workers.worker import Worker


class WorkerSlot:
    """Holds at most one worker. Use it as an async context manager: at the end, the worker releases its runs.

    `on_printed` is called for each line that a skill prints.
    """

    def __init__(self, core: Core, on_printed: OnPrinted | None = None) -> None:
        self._core = core
        self._on_printed = on_printed
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def put(self, skills: SkillRegistry) -> Worker:
        """Run a worker with these skills, and return it when it claims runs.

        The worker before it is stopped as by SIGTERM: it starts nothing more, its executing steps have the grace
        period to end, and its runs are released.
        """
        await self._stack.aclose()
        worker = await self._stack.enter_async_context(open_worker(self._core, skills, self._on_printed))
        self._stack.enter_context(open_watchdog(self._core, worker))
        await worker.has_claimed()
        return worker
