"""Attempts on a Ray cluster, through a gateway process. Needs the extra `ray`.

Ray ends the driver's process when it has lost its cluster, and the driver's tasks with the driver. So the driver is a
child process, the gateway (see `ray_gateway`). Its end is "cluster lost", and does not end this process.
"""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from importlib.util import find_spec
from time import monotonic
from typing import Any

import orjson

from orchestrator.artifacts.store import ArtifactStore
from orchestrator.background.pauses import Backoff, Pauses
from orchestrator.clusters.contract import Capabilities, ClusterUnavailable, Ended, Record, State, Work, fence_hash
from orchestrator.clusters.entry import envelope
from orchestrator.clusters.inflight import InFlight
from orchestrator.clusters.records import Records

logger = logging.getLogger(__name__)

_RECONNECTS = Backoff(0.2, 30.0)
_CONNECT_SECONDS = 60.0
_ANSWER_SECONDS = 15.0
_END_SECONDS = 5.0
_MAX_LINE_BYTES = 64 << 20
_LOST = "the gateway to the Ray cluster ended, and the attempt with it"


class RayCluster:
    """A Ray cluster as an executor. Used on one event loop.

    Args:
        url: `ray://HOST:PORT` of the cluster's client server.
        store: the artifact store, which the nodes of the cluster must reach at the same URL.

    Raises:
        ImportError: the extra `ray` is not installed.
    """

    capabilities = Capabilities(kills=True, adopts=False, reserves=True)

    def __init__(self, url: str, store: ArtifactStore) -> None:
        if find_spec("ray") is None:
            raise ImportError("No module named 'ray'", name="ray")
        self._url = url
        self._store = store
        self._records = Records(store.blobs)
        self._connecting = asyncio.Lock()
        self._gateway: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._in_flight = InFlight()
        self._answers: dict[int, asyncio.Future[dict[str, State]]] = {}
        self._asked = 0
        self._pauses = Pauses(_RECONNECTS)
        self._connects_at = 0.0

    async def submit(self, work: Work) -> None:
        """Submit an attempt. Submitting it again does nothing until it has ended."""
        if work.name in self._in_flight:
            return
        gateway = await self._connected()
        if work.name in self._in_flight:
            return
        needs = work.resources
        request = {
            "do": "submit",
            "name": work.name,
            "text": envelope(work, self._store),
            "resources": {"cpu": needs.cpu, "memory": needs.memory_bytes, "gpu": needs.gpu},
            "requires": list(work.requires),
        }
        self._in_flight.add(work, fence_hash(work.fence))
        try:
            await self._send(gateway, request)
        except BaseException:
            self._in_flight.forget(work.name)
            raise

    async def cancel(self, name: str, *, kill: bool) -> None:
        """Ask an attempt to stop, or kill it. One that waits for resources is dropped."""
        place = self._in_flight.place(name)
        if place is None:
            return
        gateway = await self._connected()
        await asyncio.to_thread(self._records.ask, place.tenant, name, kill=kill)
        if (await self.listing()).get(name) == "waiting":
            await self._send(gateway, {"do": "kill", "name": name})

    async def listing(self) -> Mapping[str, State]:
        """Return the attempts that this adapter has submitted. Those that wait for a free node count as executing."""
        gateway = await self._connected()
        self._asked += 1
        answer: asyncio.Future[dict[str, State]] = asyncio.get_running_loop().create_future()
        self._answers[self._asked] = answer
        try:
            await self._send(gateway, {"do": "list", "id": self._asked})
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await answer
        except TimeoutError as error:
            gateway.kill()
            raise self._away(f"no answer within {_ANSWER_SECONDS:g} s") from error
        finally:
            self._answers = {number: each for number, each in self._answers.items() if each is not answer}

    def outcomes(self) -> AsyncIterator[tuple[str, Ended]]:
        """Yield attempts that ended. Raises ClusterUnavailable when the cluster is lost; then call it again."""
        return self._in_flight.outcomes()

    async def record(self, tenant: str, name: str, fence_hash: str) -> Record | None:
        """Return the record of an attempt, or None if there is none yet."""
        return await asyncio.to_thread(self._records.read, tenant, name, fence_hash)

    async def close(self) -> None:
        """End the gateway, and with it the attempts."""
        gateway, self._gateway = self._gateway, None
        if gateway is not None:
            if gateway.stdin is not None:
                gateway.stdin.close()
            with suppress(TimeoutError):
                async with asyncio.timeout(_END_SECONDS):
                    await gateway.wait()
            if gateway.returncode is None:
                gateway.kill()
                await gateway.wait()
        if self._reading is not None:
            await self._reading

    async def _connected(self) -> asyncio.subprocess.Process:
        """Return the gateway, connected.

        Raises:
            ClusterUnavailable: Ray does not answer. For a growing pause, this is said without asking it.
        """
        async with self._connecting:
            if self._gateway is not None:
                return self._gateway
            if monotonic() < self._connects_at:
                raise self._away("it did not answer a moment ago")
            if self._reading is not None:
                await self._reading
            gateway = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "orchestrator.clusters.ray_gateway",
                self._url,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=_MAX_LINE_BYTES,
            )
            try:
                await self._greeted(gateway)
            except BaseException:
                self._connects_at = monotonic() + self._pauses.next()
                with suppress(ProcessLookupError):
                    gateway.kill()
                await gateway.wait()
                raise
            self._pauses.reset()
            self._gateway = gateway
            self._reading = asyncio.create_task(self._read(gateway))
            self._in_flight.end_others((), _LOST)
            return gateway

    async def _greeted(self, gateway: asyncio.subprocess.Process) -> None:
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                line = await _line(gateway)
        except TimeoutError as error:
            raise self._away(f"no answer within {_CONNECT_SECONDS:g} s") from error
        if "ready" not in line:
            raise self._away(str(line.get("away", "the gateway ended")))

    async def _read(self, gateway: asyncio.subprocess.Process) -> None:
        """Read what the gateway says until it ends."""
        why = "the gateway ended"
        while message := await _line(gateway):
            if "ended" in message:
                self._in_flight.end(message["ended"], Ended(message["reason"], message["code"]))
            elif "states" in message:
                answer = self._answers.get(message["id"])
                if answer is not None and not answer.done():
                    answer.set_result(message["states"])
            elif "away" in message:
                why = message["away"]
        await gateway.wait()
        if self._gateway is gateway:
            self._gateway = None
            self._in_flight.lose(self._away(why))
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(self._away(why))

    async def _send(self, gateway: asyncio.subprocess.Process, request: dict[str, Any]) -> None:
        if gateway.stdin is None or gateway.returncode is not None:
            raise self._away("the gateway ended")
        try:
            gateway.stdin.write(orjson.dumps(request) + b"\n")
            await gateway.stdin.drain()
        except (ConnectionError, RuntimeError) as error:
            raise self._away(str(error) or type(error).__name__) from error

    def _away(self, why: str) -> ClusterUnavailable:
        return ClusterUnavailable(f"the Ray cluster at {self._url} is unavailable: {why}")


async def _line(gateway: asyncio.subprocess.Process) -> dict[str, Any]:
    """Return the next line of the gateway, or an empty document at its end."""
    if gateway.stdout is None:
        return {}
    try:
        line = await gateway.stdout.readline()
        found: dict[str, Any] = orjson.loads(line) if line else {}
    except ValueError:
        logger.warning("the gateway to ray wrote a line that is not JSON")
        return {}
    return found
