"""Read-your-writes consistency: waits until the read models have reached a log position."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from orchestrator.application.errors import InvalidRequest, ProjectionLagging
from orchestrator.domain.errors import Fault
from orchestrator.eventstore.log import PostgresLog
from orchestrator.postgres.listener import PROJECTED, Listener, position_in, wake
from orchestrator.postgres.shared_calls import SharedCalls
from orchestrator.projections.views.reader import Reader

WAIT_SECONDS = 2.0
"""How long a read waits for the read models by default."""

_OTHER_PROJECTOR_SECONDS = 0.3
_CATCH_UP_SECONDS = 10.0


class Freshness:
    """Tracks the log position of the read models, which the projector's notifications keep up to date."""

    def __init__(self, shared: SharedCalls, reader: Reader, log: PostgresLog, listener: Listener) -> None:
        self._shared = shared
        self._reader = reader
        self._log = log
        self._position = 0
        self._end = 0
        self._waiting: dict[asyncio.Future[None], int] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asking: asyncio.Future[int] | None = None
        listener.on(PROJECTED, self._notified)

    async def reach(self, position: int | None, seconds: float = WAIT_SECONDS) -> None:
        """Wait until the read models have reached a log position. With None, return immediately.

        Raises:
            InvalidRequest: the position is beyond the end of the log.
            ProjectionLagging: the read models did not reach it within `seconds`.
        """
        if position is None or position <= self._position:
            return
        self._loop = asyncio.get_running_loop()
        reached = self._loop.create_future()
        self._waiting[reached] = position
        try:
            async with asyncio.timeout(seconds) as timeout:
                self._advance(await self._shared.call(self._reader.position))
                if not reached.done():
                    await self._check(position)
                await reached
        except TimeoutError:
            if not timeout.expired():
                raise  # a timeout of the database, not of this wait
            raise ProjectionLagging(
                f"the read models are at position {self._position}, not yet at {position}",
                position=self._position,
                minPosition=position,
            ) from None
        finally:
            del self._waiting[reached]

    async def catch_up(self, project: Callable[[], int]) -> None:
        """Wait until the read models have reached the current end of the log, but at most ten seconds.

        Args:
            project: projects a batch of events and returns their number. It is called if no other process projects.
        """
        goal = await self._shared.call(self._log.last_position)
        with suppress(TimeoutError):
            async with asyncio.timeout(_CATCH_UP_SECONDS):
                while True:
                    with suppress(ProjectionLagging):
                        return await self.reach(goal, _OTHER_PROJECTOR_SECONDS)
                    while await self._shared.call(project):
                        pass

    async def _check(self, position: int) -> None:
        """Reject a position beyond the end of the log. The end is read from the database, since others append too."""
        if position > self._end:
            self._end = max(self._end, await self._shared.call(self._log.last_position))
        if position > self._end:
            fault = Fault("X-Min-Position", f"is {position}, but the last position of the log is {self._end}")
            raise InvalidRequest([fault], lastPosition=self._end)

    def _notified(self, payload: str) -> None:
        """Handle a new position of the read models. Runs on the listener's thread.

        An empty payload means that notifications may have been missed.
        """
        if self._loop is not None and self._waiting:
            wake(self._loop, self._heard, payload)

    def _heard(self, payload: str) -> None:
        if payload:
            self._advance(position_in(payload))
        elif self._asking is None or self._asking.done():
            self._asking = asyncio.ensure_future(self._shared.call(self._reader.position))
            self._asking.add_done_callback(self._answered)

    def _answered(self, asking: asyncio.Future[int]) -> None:
        if not asking.cancelled() and asking.exception() is None:
            self._advance(asking.result())

    def _advance(self, position: int) -> None:
        self._position = max(self._position, position)
        for reached, wanted in self._waiting.items():
            if wanted <= position and not reached.done():
                reached.set_result(None)
