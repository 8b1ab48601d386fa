"""Combines concurrent identical reads into one call to the database.

    call -> waiting -> [one database call for all that wait] -> the result, to each caller

A caller never gets the result of a database call that began before its own call, so it sees everything written before.
Under load this removes most of the thread switches from a request: they happen once per round, not once per caller.
"""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar, TypeVarTuple, cast

from orchestrator.postgres.database import Database

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_Key = tuple[Callable[..., Any], tuple[Any, ...]]


class SharedCalls:
    """Shared calls of read functions, for one event loop.

    Arguments must be hashable, and results must not be modified.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self._waiting: dict[_Key, list[asyncio.Future[Any]]] = {}
        self._rounds: dict[_Key, asyncio.Task[None]] = {}

    async def call(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Call a function like `Database.call`; concurrent calls with the same arguments share one database call."""
        key = (function, args)
        result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(result)
        if key not in self._rounds:
            self._rounds[key] = asyncio.ensure_future(self._serve(key))
        return cast("T", await result)

    async def _serve(self, key: _Key) -> None:
        function, args = key
        try:
            while waiting := self._waiting.pop(key, None):
                try:
                    found = await self.database.call(function, *args)
                except Exception as error:  # noqa: BLE001 - passed to the callers
                    for result in waiting:
                        if not result.done():
                            result.set_exception(error)
                else:
                    for result in waiting:
                        if not result.done():
                            result.set_result(found)
        finally:
            del self._rounds[key]
