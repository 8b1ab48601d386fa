"""The same question from many at once is put to the database once.

    ask -> waiting -> [one call for all that wait] -> the answer, to each of them

Nobody gets the answer of a call that began before they asked, so each sees what was written before. Under load
that takes most of the way between threads out of a request: it is paid once a round, not once a caller.
"""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar, TypeVarTuple, cast

from orchestrator.postgres.database import Database

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_Question = tuple[Callable[..., Any], tuple[Any, ...]]


class SharedCalls:
    """Calls of reading functions. The arguments must be hashable, answers must not be changed. For one event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[_Question, list[asyncio.Future[Any]]] = {}
        self._rounds: dict[_Question, asyncio.Task[None]] = {}

    async def call(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Like `Database.call`; whoever asks the same meanwhile is answered together."""
        question = (function, args)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(question, []).append(answer)
        if question not in self._rounds:
            self._rounds[question] = asyncio.ensure_future(self._ask(question))
        return cast("T", await answer)

    async def _ask(self, question: _Question) -> None:
        function, args = question
        try:
            while waiting := self._waiting.pop(question, None):
                try:
                    found = await self._database.call(function, *args)
                except Exception as error:  # noqa: BLE001 - whoever asked is told
                    for answer in waiting:
                        if not answer.done():
                            answer.set_exception(error)
                else:
                    for answer in waiting:
                        if not answer.done():
                            answer.set_result(found)
        finally:
            del self._rounds[question]
