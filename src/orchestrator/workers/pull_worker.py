"""A worker that pulls: it takes attempts of a pool over HTTP, executes them, beats for them and reports their results.

    poll -> execute, and beat until it has ended -> report -> poll

It needs an outbound connection only. While the server cannot be reached, attempts go on and their results are kept.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any

import httpx

from orchestrator.background.pauses import Backoff, Pauses, RareWarning
from orchestrator.clusters.contract import Record, Work
from orchestrator.clusters.forms import error_to_json, work_from_json
from orchestrator.domain.output import Output, StepError
from orchestrator.skills.errors import SKILL_OUTPUT_INVALID, WorkerUnfit, to_step_error
from orchestrator.workers.executor import StepExecutor

logger = logging.getLogger(__name__)

EXECUTOR_MISMATCH = "EXECUTOR_MISMATCH"

_RECONNECT = Backoff(0.2, 10.0)
_WAIT_SECONDS = 30.0
_ANSWER_SECONDS = 15.0
_BEAT_SECONDS = 1.0
_FIRST_LEASE_SECONDS = 3.0
_REFUSED = frozenset({401, 403})
_GONE = frozenset({404, 409})
_LATER = frozenset({408, 429})


class PullRefused(Exception):
    """The server refuses this worker: its key is wrong, or the pool is another one's. The message is the server's."""


class PullWorker:
    """Executes attempts of one pool. Belongs to one event loop.

    Args:
        client: sends requests to the server, with the key.
        pool: the pool.
        identity: the id of this worker, another one for each start.
        labels: the labels of this machine.
        skills: the skills, each as `id@version`.
        executor: executes calls.
        slots: how many attempts are executed at the same time.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        pool: str,
        identity: str,
        *,
        labels: Sequence[str],
        skills: Sequence[str],
        executor: StepExecutor,
        slots: int,
    ) -> None:
        self._client = client
        self._pool = pool
        self._identity = identity
        self._labels = labels
        self._skills = skills
        self._executor = executor
        self._slots = slots
        self._lease_seconds = _FIRST_LEASE_SECONDS
        self._attempts: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Event()
        self._warn = RareWarning(logger, "server cannot be reached, trying again")

    async def work(self) -> None:
        """Take and execute attempts until cancelled. What is executing then goes on; see `stop`.

        Raises:
            PullRefused: the server refuses this worker.
        """
        pauses = Pauses(_RECONNECT)
        while True:
            self._ended.clear()
            if len(self._attempts) >= self._slots or self._executor.trouble():
                try:  # beats say that this worker is there
                    async with asyncio.timeout(_WAIT_SECONDS):
                        await self._ended.wait()
                except TimeoutError:
                    pass
                continue
            try:
                works = await self._poll(self._slots - len(self._attempts))
            except (httpx.HTTPError, ValueError) as error:
                self._warn(f"{type(error).__name__} {error}".rstrip())
                await asyncio.sleep(pauses.next())
                continue
            pauses.reset()
            for work in works:
                task = asyncio.create_task(self._attempt(work))
                self._attempts.add(task)
                task.add_done_callback(self._forget)

    async def stop(self, grace_seconds: float) -> None:
        """Wait up to `grace_seconds` for executing attempts, and give the others up, to be executed elsewhere."""
        if self._attempts:
            await asyncio.wait(self._attempts, timeout=grace_seconds)
        left = list(self._attempts)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _forget(self, task: "asyncio.Task[None]") -> None:
        self._attempts.discard(task)
        self._ended.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("attempt could not be executed or reported", exc_info=error)

    async def _poll(self, slots: int) -> list[Work]:
        body = {"worker": self._identity, "labels": self._labels, "skills": self._skills, "slots": slots}
        answer = await self._client.post(
            f"/api/v1/pools/{self._pool}/poll", json=body, timeout=_WAIT_SECONDS + _ANSWER_SECONDS
        )
        if answer.status_code in _REFUSED:
            raise PullRefused(_message(answer))
        answer.raise_for_status()
        document = answer.json()
        self._lease_seconds = float(document["leaseSeconds"])
        return [work_from_json(work) for work in document["works"]]

    async def _attempt(self, work: Work) -> None:
        """Execute an attempt and report what became of it; give it up if this worker cannot execute it."""
        where = {"run_id": work.call.run_id, "step_id": work.call.step_id, "attempt": work.call.attempt}
        if self._executor.skill(work.call.skill_id) != work.skill:
            found = self._executor.skill(work.call.skill_id)
            logger.warning("%s: expected %s, not %s", EXECUTOR_MISMATCH, work.skill, found, extra=where)
            await self._abandon(work)
            return
        logger.info("attempt taken", extra=where)
        executing = asyncio.create_task(self._execute(work))
        beating = asyncio.create_task(self._beat_until_cancelled(work))
        try:
            await asyncio.wait({executing, beating}, return_when=asyncio.FIRST_COMPLETED)
            if not executing.done():
                logger.info("attempt cancelled", extra=where)
                return
            record = executing.result()
            if record is None:
                await self._abandon(work)
            else:
                await self._report(work, record)
        except asyncio.CancelledError:
            await self._abandon(work)
            raise
        finally:
            for task in (executing, beating):
                task.cancel()
            await asyncio.gather(executing, beating, return_exceptions=True)

    async def _execute(self, work: Work) -> Record | None:
        """Return the record of an attempt, or None if this machine cannot execute any attempt now."""
        started = perf_counter()
        outcome: Output | StepError
        try:
            outcome = _sendable(await self._executor.execute(work.call))
        except WorkerUnfit as error:
            logger.warning("attempt given up, this worker lacks a resource: %s", error)
            return None
        except Exception as error:  # noqa: BLE001 - a skill may raise anything; all of it is an outcome
            outcome = to_step_error(error)
        return Record(outcome, (perf_counter() - started) * 1000)

    async def _beat_until_cancelled(self, work: Work) -> None:
        """Beat for an attempt, and return when it should stop."""
        while True:
            await asyncio.sleep(min(_BEAT_SECONDS, self._lease_seconds / 4))
            try:
                answer = await self._send("POST", work, "beat", {}, seconds=self._lease_seconds)
            except httpx.HTTPError as error:
                self._warn(f"{type(error).__name__} {error}".rstrip())
                continue
            if answer.status_code in _GONE or (answer.is_success and answer.json()["cancel"]):
                return

    async def _report(self, work: Work, record: Record) -> None:
        """Report a record until the server has it, or does not want it any more."""
        pauses = Pauses(_RECONNECT)
        body = _result(record)
        while True:
            try:
                answer = await self._send("PUT", work, "result", body, seconds=_ANSWER_SECONDS)
            except httpx.HTTPError as error:
                self._warn(f"{type(error).__name__} {error}".rstrip())
            else:
                if answer.is_success:
                    logger.info("result reported", extra={"run_id": work.call.run_id, "step_id": work.call.step_id})
                    return
                if answer.status_code in _GONE:
                    logger.warning("result dropped: %s", _message(answer), extra={"run_id": work.call.run_id})
                    return
                if answer.is_client_error and answer.status_code not in _LATER | _REFUSED:
                    refused = StepError(SKILL_OUTPUT_INVALID, _message(answer)[:2000], retryable=False)
                    if "error" in body:
                        raise httpx.HTTPStatusError(_message(answer), request=answer.request, response=answer)
                    body = _result(Record(refused, record.duration_ms))
                    continue
                self._warn(_message(answer))
            await asyncio.sleep(pauses.next())

    async def _abandon(self, work: Work) -> None:
        """Give an attempt up, so that it starts again elsewhere at once; without an answer, its lease ends it."""
        try:
            await self._send("POST", work, "beat", {"abandon": True}, seconds=self._lease_seconds)
        except httpx.HTTPError as error:
            self._warn(f"{type(error).__name__} {error}".rstrip())

    async def _send(
        self, method: str, work: Work, call: str, body: Mapping[str, Any], *, seconds: float
    ) -> httpx.Response:
        path, headers = f"/api/v1/attempts/{work.name}/{call}", {"X-Fence": work.fence}
        return await self._client.request(method, path, json=body, headers=headers, timeout=seconds)


def _sendable(output: Output) -> Output | StepError:
    """Return an output, or an error if it has artifacts, which cannot be sent."""
    if not output.artifacts:
        return output
    message = "an executor cannot send artifacts; return data, or execute the step with `executor: local`"
    return StepError(SKILL_OUTPUT_INVALID, message, retryable=False)


def _result(record: Record) -> dict[str, Any]:
    if isinstance(record.outcome, Output):
        return {"output": {"data": record.outcome.data}, "durationMs": record.duration_ms}
    return {"error": error_to_json(record.outcome), "durationMs": record.duration_ms}


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return f"the server answered {answer.status_code}"
