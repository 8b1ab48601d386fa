"""Attempts on a Dask cluster. Needs the extra `dask`.

Dask executes tasks; it does not decide what became of an attempt. A task is submitted with `retries=0`, and a worker
that executes one again after a loss finds the record of the attempt, or the note that it has begun. Code that runs is
never ended by Dask: the remote entry does it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from importlib import import_module
from time import monotonic
from typing import Any, TypeVar

from orchestrator.artifacts.store import ArtifactStore
from orchestrator.background.pauses import Backoff, Pauses
from orchestrator.clusters.contract import Capabilities, ClusterUnavailable, Ended, Record, State, Work, fence_hash
from orchestrator.clusters.entry import ended_of, envelope, run
from orchestrator.clusters.inflight import InFlight
from orchestrator.clusters.records import Records
from orchestrator.skills.threads import DaemonThreads

logger = logging.getLogger(__name__)

T = TypeVar("T")

_PREFIX = "orchestrator"
_RECONNECTS = Backoff(0.2, 30.0)
_CONNECT_SECONDS = 5.0
_CALL_SECONDS = 15.0
_LABEL_AMOUNT = 1e-6
"""How much of a label's resource an attempt takes: any number of attempts fits."""

_WAITING = frozenset({"waiting", "no-worker", "queued"})


class DaskCluster:
    """A Dask scheduler as an executor. Used on one event loop; Dask's client has a loop in a thread of its own.

    Args:
        url: `dask+tcp://HOST:PORT` of the scheduler.
        store: the artifact store, which the workers of the cluster must reach at the same URL.

    Raises:
        ImportError: the extra `dask` is not installed.
    """

    capabilities = Capabilities(kills=True, adopts=True, reserves=True)

    def __init__(self, url: str, store: ArtifactStore) -> None:
        self._distributed: Any = import_module("distributed")
        self._address = url.removeprefix("dask+")
        self._store = store
        self._records = Records(store.blobs)
        self._threads = DaemonThreads("dask")
        self._connecting = asyncio.Lock()
        self._client: Any = None
        self._futures: dict[str, Any] = {}
        self._in_flight = InFlight()
        self._pauses = Pauses(_RECONNECTS)
        self._connects_at = 0.0

    async def submit(self, work: Work) -> None:
        """Submit an attempt. Submitting it again does nothing while the scheduler knows it."""
        if work.name in self._in_flight:
            return
        client, loop = await self._connected(), asyncio.get_running_loop()
        if work.name in self._in_flight:
            return
        hashed = fence_hash(work.fence)
        self._in_flight.add(work, hashed)
        try:
            future = await self._call(partial(_submitted, self._distributed, client, work, hashed, self._store))
        except BaseException:
            self._in_flight.forget(work.name)
            raise
        self._futures[work.name] = future
        future.add_done_callback(
            lambda done: loop.call_soon_threadsafe(self._note, client, work.name, done.status, _error_of(done))
        )

    async def cancel(self, name: str, *, kill: bool) -> None:
        """Ask an attempt to stop, or kill it. One that waits is dropped."""
        client = await self._connected()
        keys = await self._call(partial(client.run_on_scheduler, _listed, name=name))
        place = self._in_flight.place(name)
        for key in keys:
            tenant = key.split(":", 3)[3]
            await asyncio.to_thread(self._records.ask, tenant, name, kill=kill)
        if place is not None and not keys:
            await asyncio.to_thread(self._records.ask, place.tenant, name, kill=kill)
        if any(state == "waiting" for state in keys.values()):
            self._in_flight.end(name, Ended("the attempt was cancelled before it began"))
            self._futures.pop(name, None)
            await self._call(partial(_drop, self._distributed, client, list(keys)))

    async def listing(self) -> Mapping[str, State]:
        """Return the attempts that the scheduler knows. One that is assigned to a worker counts as executing."""
        client = await self._connected()
        found: dict[str, State] = await self._call(partial(client.run_on_scheduler, _listed))
        return {key.split(":", 3)[1]: state for key, state in found.items()}

    def outcomes(self) -> AsyncIterator[tuple[str, Ended]]:
        """Yield attempts that ended. Raises ClusterUnavailable when the scheduler is lost; then call it again."""
        return self._in_flight.outcomes()

    async def record(self, tenant: str, name: str, fence_hash: str) -> Record | None:
        """Return the record of an attempt, or None if there is none yet."""
        return await asyncio.to_thread(self._records.read, tenant, name, fence_hash)

    async def close(self) -> None:
        """Disconnect. The attempts go on."""
        client, self._client = self._client, None
        self._futures.clear()
        if client is not None:
            await self._closed(client)

    async def _connected(self) -> Any:
        """Return the client, connected.

        Raises:
            ClusterUnavailable: the scheduler does not answer. For a growing pause, this is said without asking it.
        """
        async with self._connecting:
            client = self._client
            if client is not None and client.status == "running" and not client.scheduler_comm.comm.closed():
                return client
            if client is not None:
                self._lose(client)
            if monotonic() < self._connects_at:
                raise self._away("it did not answer a moment ago")
            try:
                client = await self._in_thread(
                    partial(_connect, self._distributed, self._address), _CONNECT_SECONDS * 2
                )
                facts = await self._in_thread(partial(client.run_on_scheduler, _facts), _CALL_SECONDS)
                known = await self._in_thread(partial(client.run_on_scheduler, _listed), _CALL_SECONDS)
            except Exception as error:
                self._connects_at = monotonic() + self._pauses.next()
                raise self._away(str(error) or type(error).__name__) from error
            self._pauses.reset()
            self._client = client
            if facts["allowed_failures"]:
                logger.warning(
                    "dask executes tasks again after the loss of a worker; start the scheduler with "
                    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES=0",
                    extra={"allowed_failures": facts["allowed_failures"]},
                )
            self._in_flight.end_others(
                {key.split(":", 3)[1] for key in known}, "the scheduler that had the attempt was lost"
            )
            return client

    async def _call(self, work: Callable[[], T]) -> T:
        """Call the client in a thread; an error of the connection is ClusterUnavailable."""
        try:
            return await self._in_thread(work, _CALL_SECONDS)
        except (OSError, TimeoutError, self._distributed.CommClosedError) as error:
            client = self._client
            if client is not None:
                self._lose(client)
            raise self._away(str(error) or type(error).__name__) from error

    async def _in_thread(self, work: Callable[[], T], seconds: float) -> T:
        async with asyncio.timeout(seconds):
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _note(self, client: Any, name: str, status: str, error: BaseException | None) -> None:
        """Note that a future is done. If it was cancelled and not by us, the scheduler was lost."""
        if self._futures.get(name) is None:
            return
        if status in {"cancelled", "lost"}:
            self._lose(client)
            return
        del self._futures[name]
        self._in_flight.end(name, ended_of(error))

    def _lose(self, client: Any) -> None:
        """Give up a client whose scheduler was lost."""
        if self._client is not client:
            return
        self._client = None
        self._futures.clear()
        self._in_flight.lose(self._away("the connection was lost"))
        self._threads.submit(partial(client.close, timeout=1))

    def _away(self, why: str) -> ClusterUnavailable:
        return ClusterUnavailable(f"the Dask scheduler at {self._address} is unavailable: {why}")

    async def _closed(self, client: Any) -> None:
        try:
            await self._in_thread(partial(client.close, timeout=2), _CONNECT_SECONDS)
        except Exception as error:  # noqa: BLE001 - the connection is given up anyway
            logger.info("the dask client did not close", extra={"error": repr(error)})


def _connect(distributed: Any, address: str) -> Any:
    return distributed.Client(address, timeout=_CONNECT_SECONDS, set_as_default=False, name=_PREFIX)


def _submitted(distributed: Any, client: Any, work: Work, hashed: str, store: ArtifactStore) -> Any:
    future = client.submit(
        run,
        envelope(work, store),
        key=f"{_PREFIX}:{work.name}:{hashed}:{work.call.tenant}",
        pure=False,
        retries=0,
        resources=reserved(work) or None,
    )
    distributed.fire_and_forget(future)  # the scheduler keeps it if this process ends
    return future


def _drop(distributed: Any, client: Any, keys: list[str]) -> None:
    client.cancel([distributed.Future(key, client=client) for key in keys], force=True)


def reserved(work: Work) -> dict[str, float]:
    """Return what an attempt takes of Dask's abstract resources: CPU, MEMORY in bytes, GPU, and each of its labels."""
    needs = work.resources
    named = {"CPU": needs.cpu, "MEMORY": needs.memory_bytes, "GPU": needs.gpu}
    return {name: value for name, value in named.items() if value} | dict.fromkeys(work.requires, _LABEL_AMOUNT)


def _error_of(future: Any) -> BaseException | None:
    """Return the error of a future that is done, without asking the scheduler."""
    error = future._state.exception if future.status == "error" else None  # noqa: SLF001 - `exception()` may wait
    return error if error is None or isinstance(error, BaseException) else RuntimeError(str(error))


def _listed(dask_scheduler: Any, name: str = "") -> dict[str, State]:
    """Return the state of each of our tasks. The scheduler calls this."""
    prefix = f"{_PREFIX}:{name}"
    return {
        key: "waiting" if task.state in _WAITING else "executing" if task.state == "processing" else "ended"
        for key, task in dask_scheduler.tasks.items()
        if isinstance(key, str) and key.startswith(prefix)
    }


def _facts(dask_scheduler: Any) -> dict[str, Any]:
    """Return settings of the scheduler. The scheduler calls this."""
    return {"allowed_failures": dask_scheduler.allowed_failures}
