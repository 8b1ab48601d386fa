"""Follows the events of a run: the recorded ones, then each new one."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from orchestrator.application.core import Core
from orchestrator.domain.events import TERMINAL_EVENTS
from orchestrator.postgres.listener import EVENTS, LOGS, PROGRESS, wake
from orchestrator.projections.views.event_views import event_view

_POLL_SECONDS = 2.0
_PAUSE_SECONDS = 0.02


def log_changes(core: Core) -> Callable[[float], Awaitable[None]]:
    """Return a function that waits until there may be new lines in a log, or until a run may be over.

    This is for programs that watch few runs. A server uses `Feed` to watch many.
    """
    loop, changed = asyncio.get_running_loop(), asyncio.Event()
    for channel in (EVENTS, LOGS):
        core.listener.on(channel, lambda _: wake(loop, changed.set))

    async def wait(seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(changed.wait(), seconds)
        await asyncio.sleep(_PAUSE_SECONDS)
        changed.clear()

    return wait


async def follow(
    core: Core, tenant: str, run_id: str, *, progress: bool = False
) -> AsyncGenerator[Mapping[str, Any], None]:
    """Yield the events of a run, up to the one that ends it, and with `progress` the progress that skills report.

    This is for programs that watch few runs. A server uses `Feed` to watch many.

    Raises:
        RunNotFound: the run does not exist, or belongs to another tenant.
    """
    loop, appended = asyncio.get_running_loop(), asyncio.Event()
    core.listener.on(EVENTS, lambda _: wake(loop, appended.set))
    if progress:
        core.listener.on(PROGRESS, lambda _: wake(loop, appended.set))
    reported: dict[str, Mapping[str, Any]] = {}
    unseen = await core.database.call(core.reader.history, tenant, run_id)
    seen = 0
    while True:
        for recorded in unseen:
            seen = recorded.version
            yield event_view(recorded)
            if isinstance(recorded.event, TERMINAL_EVENTS):
                return
        if progress:
            for report in (await core.database.ask(core.reader.progress, [run_id])).get(run_id, ()):
                step = report["data"]["step"]
                if reported.get(step) != report:
                    reported[step] = report
                    yield report
        with suppress(TimeoutError):
            await asyncio.wait_for(appended.wait(), _POLL_SECONDS)
        await asyncio.sleep(_PAUSE_SECONDS)  # limits the queries on a busy log, where every append wakes this loop
        appended.clear()
        unseen = await core.database.ask(core.log.read, run_id, seen)
