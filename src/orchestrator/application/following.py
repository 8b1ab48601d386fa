"""Following a run: its events, those there are and those to come."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

from orchestrator.application.core import Core
from orchestrator.domain.events import TERMINAL_EVENTS
from orchestrator.eventstore.recorded import Recorded
from orchestrator.postgres.listener import EVENTS, wake

_LOOK_AGAIN_SECONDS = 2.0
_PAUSE_SECONDS = 0.02


async def follow(core: Core, tenant: str, run_id: str) -> AsyncGenerator[Recorded, None]:
    """Yield the events of a run, up to the one that ends it.

    For a program that watches a run or two; a server watches many at once with `Feed`.

    Raises:
        RunNotFound: there is none with this id, or it is another tenant's.
    """
    loop, appended = asyncio.get_running_loop(), asyncio.Event()
    core.listener.on(EVENTS, lambda _: wake(loop, appended.set))
    news = await core.database.call(core.reader.history, tenant, run_id)
    seen = 0
    while True:
        for recorded in news:
            seen = recorded.version
            yield recorded
            if isinstance(recorded.event, TERMINAL_EVENTS):
                return
        with suppress(TimeoutError):
            await asyncio.wait_for(appended.wait(), _LOOK_AGAIN_SECONDS)
        await asyncio.sleep(_PAUSE_SECONDS)  # a busy log wakes us for every append
        appended.clear()
        news = await core.database.ask(core.log.read, run_id, seen)
