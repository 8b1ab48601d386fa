"""Batches reads of runs: runs requested during a query are fetched together by the next query.

    load -> waiting -> [one query for all that wait] -> results

A reader never gets the result of a query that started before its request, so it sees all earlier writes.
"""

import asyncio
from functools import partial
from itertools import islice

from orchestrator.application.errors import DeadlineExceeded
from orchestrator.postgres.database import Database
from orchestrator.projections.views.reader import Reader
from orchestrator.projections.views.values import View

_MAX_AT_ONCE = 128

_Key = tuple[str, str]


class RunLoader:
    """Reads runs by id. Belongs to one event loop."""

    def __init__(self, database: Database, reader: Reader, timeout: float) -> None:
        self._database = database
        self._reader = reader
        self._timeout = timeout
        self._folding: set[asyncio.Future[View]] = set()
        self._waiting: dict[_Key, list[asyncio.Future[View]]] = {}
        self._fetching: asyncio.Task[None] | None = None

    async def load(self, tenant: str, run_id: str) -> View:
        """Return a run.

        Raises:
            RunNotFound: the run does not exist, or belongs to another tenant.
        """
        answer: asyncio.Future[View] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault((tenant, run_id), []).append(answer)
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.ensure_future(self._fetch())
        return await answer

    async def _fetch(self) -> None:
        while self._waiting:
            batch = dict(islice(self._waiting.items(), _MAX_AT_ONCE))
            for key in batch:
                del self._waiting[key]
            for tenant in {tenant for tenant, _ in batch}:
                await self._answer(
                    tenant, {run_id: answers for (owner, run_id), answers in batch.items() if owner == tenant}
                )

    async def _answer(self, tenant: str, wanted: dict[str, list[asyncio.Future[View]]]) -> None:
        """Fetch runs of one tenant and deliver them to all readers that wait for them."""
        try:
            async with asyncio.timeout(self._timeout):
                found = await self._database.call(self._reader.runs_named, tenant, list(wanted))
        except TimeoutError:
            late = DeadlineExceeded("the database did not respond in time")
            for answers in wanted.values():
                _fail(answers, late)
            return
        except Exception as error:  # noqa: BLE001 - the readers raise it
            for answers in wanted.values():
                _fail(answers, error)
            return
        for run_id, answers in wanted.items():
            if run_id in found:
                _resolve(answers, found[run_id])
            else:  # not projected yet: load it separately, because its history may be long
                folding = asyncio.ensure_future(self._database.call(self._reader.run, tenant, run_id))
                self._folding.add(folding)
                folding.add_done_callback(partial(self._folded, answers))

    def _folded(self, answers: list[asyncio.Future[View]], folding: asyncio.Future[View]) -> None:
        self._folding.discard(folding)
        if folding.cancelled():
            return
        error = folding.exception()
        if error is None:
            _resolve(answers, folding.result())
        else:
            _fail(answers, error)


def _resolve(answers: list[asyncio.Future[View]], view: View) -> None:
    for answer in answers:
        if not answer.done():
            answer.set_result(view)


def _fail(answers: list[asyncio.Future[View]], error: BaseException) -> None:
    for answer in answers:
        if not answer.done():
            answer.set_exception(error)
