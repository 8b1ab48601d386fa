"""Follows the events of a run: the recorded ones, then each new one."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress

from orchestrator.application.core import Core
from orchestrator.domain.events import TERMINAL_EVENTS
from orchestrator.eventstore.recorded import Recorded
from orchestrator.postgres.listener import EVENTS, LOGS, wake

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


async def follow(core: Core, tenant: str, run_id: str) -> AsyncGenerator[Recorded, None]:
    """Yield the events of a run, up to the one that ends it.

    This is for programs that watch few runs. A server uses `Feed` to watch many.

    Raises:
        RunNotFound: the run does not exist, or belongs to another tenant.
    """
    loop, appended = asyncio.get_running_loop(), asyncio.Event()
    core.listener.on(EVENTS, lambda _: wake(loop, appended.set))
    unseen = await core.database.call(core.reader.history, tenant, run_id)
    seen = 0
    while True:
        for recorded in unseen:
            seen = recorded.version
            yield recorded
            if isinstance(recorded.event, TERMINAL_EVENTS):
                return
        with suppress(TimeoutError):
            await asyncio.wait_for(appended.wait(), _POLL_SECONDS)
        await asyncio.sleep(_PAUSE_SECONDS)  # limits the queries on a busy log, where every append wakes this loop
        appended.clear()
        unseen = await core.database.ask(core.log.read, run_id, seen)
