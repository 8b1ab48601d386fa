"""Asks for runs of several tenants all the time, through APIs that come and go, and remembers what was promised."""

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.soak.plant import Plant
from tests.soak.workflows import CAMPAIGN, GOOD, HOPELESS, RUDE, SMALL, THREADS

_LANES = 3
_MAX_UNDER_WAY = 30
_PAUSE_SECONDS = 0.6
_PATIENCE_SECONDS = 180.0
_TIMEOUT_SECONDS = 20.0
"""The API answers within 10 s; a machine that is busy may need longer."""

_TERMINAL = ("completed", "failed", "cancelled")
_AWAY = 503
_LATE = 408
"""What an API answers that was suspended before it had read a request."""

_WEIGHTS = {SMALL: 6, CAMPAIGN: 3, THREADS: 3, RUDE: 1}


class Refused(Exception):
    """A request was answered in a way that it must not be."""


@dataclass
class Accepted:
    """A run that was accepted, and whether its cancel was (None: nobody asked)."""

    run_id: str
    tenant: str
    workflow: str
    cancelled: bool | None = None
    status: str = "queued"

    @property
    def over(self) -> bool:
        return self.status in _TERMINAL


@dataclass
class Feeder:
    """Triggers, updates, cancels, retries and reads; several requests at a time."""

    plant: Plant
    chance: random.Random
    accepted: dict[str, Accepted] = field(default_factory=dict)
    answers: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    _client: httpx.AsyncClient = field(default_factory=lambda: httpx.AsyncClient(timeout=_TIMEOUT_SECONDS))
    _enough: bool = False
    _number: int = 0
    _open: deque[Accepted] = field(default_factory=deque)
    _settled: dict[str, deque[Accepted]] = field(
        default_factory=lambda: {status: deque(maxlen=50) for status in _TERMINAL}
    )

    async def feed(self) -> None:
        """Ask until `stop`."""
        await asyncio.gather(*(self._lane() for _ in range(_LANES)))

    def stop(self) -> None:
        self._enough = True

    async def close(self) -> None:
        await self._client.aclose()

    async def _lane(self) -> None:
        while not self._enough:
            with suppress(Refused):  # which is noted
                await self._something()
            await asyncio.sleep(self.chance.uniform(0.0, 2 * _PAUSE_SECONDS))

    async def _something(self) -> None:
        """Do one of the things that a client does."""
        dice = self.chance.random()
        if dice < 0.45 and len(self._open) < _MAX_UNDER_WAY:
            workflow = self.chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
            await self.trigger(workflow, self.chance.choice(list(self.plant.keys)))
        elif dice < 0.53 and (ordinary := [run for run in self._open if run.workflow in (*GOOD, *HOPELESS)]):
            await self.cancel(self.chance.choice(ordinary))
        elif dice < 0.61 and self._settled["completed"]:
            await self._follow_up("update", self.chance.choice(self._settled["completed"]))
        elif dice < 0.66 and (ended := [*self._settled["failed"], *self._settled["cancelled"]]):
            await self._follow_up("retry", self.chance.choice(ended))
        elif self._open:
            await self.look(self._open[0])
            self._open.rotate(-1)
        else:
            await self._read("/runs?limit=20", self.chance.choice(list(self.plant.keys)))

    async def trigger(self, workflow: str, tenant: str, seconds: float = 0.0, *, own: bool = False) -> Accepted:
        """Ask for a run until it is accepted; one that is the caller's `own` is left to it."""
        payload = {"seed": self.chance.randrange(200), "seconds": seconds}
        body = {"workflowName": workflow, "triggerPayload": payload, "priority": self.chance.randrange(3)}
        return await self._ask_for_run("/runs", body, workflow, tenant, "trigger", own=own)

    async def cancel(self, run: Accepted) -> None:
        answer = await self._post(f"/runs/{run.run_id}/cancel", {"reason": "soak"}, run.tenant, None, (200, 400))
        if answer.status_code == 200:
            run.cancelled = True
            self.done["cancel"] += 1
        elif run.cancelled is None:
            # An attempt whose answer was lost may have been the one that cancelled it.
            run.cancelled = None if answer.json()["error"] == "RUN_NOT_CANCELLABLE" else False

    async def look(self, run: Accepted) -> None:
        """Read how a run stands, and some of what belongs to it."""
        found = await self._read(f"/runs/{run.run_id}", run.tenant)
        if found is None:
            return
        run.status = found["status"]
        if run.over and run in self._open:  # another lane may have seen it first
            self._open.remove(run)
            if run.workflow in (*GOOD, *HOPELESS):
                self._settled[run.status].append(run)
        what = self.chance.choice(("steps", "events", "artifacts", "cache-analysis"))
        await self._read(f"/runs/{run.run_id}/{what}", run.tenant)

    async def settle(self, runs: Sequence[Accepted], seconds: float) -> list[Accepted]:
        """Wait until runs are over, and return those that are not by then."""
        deadline = time.monotonic() + seconds
        left = [run for run in runs if not run.over]
        while left and time.monotonic() < deadline:
            for run in left:
                found = await self._read(f"/runs/{run.run_id}", run.tenant)
                if found is not None:
                    run.status = found["status"]
            left = [run for run in left if not run.over]
            await asyncio.sleep(0.2)
        return left

    async def _follow_up(self, what: str, base: Accepted) -> None:
        body = {"changeRequest": _change(self.chance)} if what == "update" else {}
        await self._ask_for_run(f"/runs/{base.run_id}/{what}", body, base.workflow, base.tenant, what)

    async def _ask_for_run(
        self, path: str, body: Any, workflow: str, tenant: str, what: str, *, own: bool = False
    ) -> Accepted:
        self._number += 1
        answer = await self._post(path, body, tenant, f"{what} {self._number}", (202,))
        run = Accepted(answer.json()["runId"], tenant, workflow)
        self.accepted[run.run_id] = run
        if not own:
            self._open.append(run)
        self.done[what] += 1
        return run

    async def _post(self, path: str, body: Any, tenant: str, key: str | None, final: Sequence[int]) -> httpx.Response:
        """Ask until the answer is one of those that are final. Whatever else is answered but 503 is a fault."""
        headers = {"Authorization": f"Bearer {self.plant.keys[tenant]}", **({"Idempotency-Key": key} if key else {})}
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            answer = await self._request("POST", path, headers, json=body)
            if answer is not None and answer.status_code in final:
                return answer
            if answer is not None:
                self.faults.append(f"POST {path} was answered {answer.status_code}: {answer.text[:300]}")
                raise Refused(self.faults[-1])
            if time.monotonic() > deadline:
                self.faults.append(f"POST {path} was not accepted for {_PATIENCE_SECONDS:g} s")
                raise Refused(self.faults[-1])
            await asyncio.sleep(self.chance.uniform(0.1, 0.5))

    async def _read(self, path: str, tenant: str) -> Any:
        """Read once; None when there is no answer now. Another one than 200 is a fault."""
        headers = {"Authorization": f"Bearer {self.plant.keys[tenant]}"}
        answer = await self._request("GET", path, headers)
        if answer is None:
            return None
        if answer.status_code != 200:
            self.faults.append(f"GET {path} was answered {answer.status_code}: {answer.text[:300]}")
            return None
        return answer.json()

    async def _request(self, method: str, path: str, headers: dict[str, str], **more: Any) -> httpx.Response | None:
        """Send a request to one of the APIs; None when that does not answer, or only to come again."""
        api = self.chance.choice(self.plant.apis)
        try:
            answer = await self._client.request(method, f"{api.told}/api/v1{path}", headers=headers, **more)
        except httpx.TransportError as error:
            self.answers[f"{api.name} {type(error).__name__}"] += 1
            if isinstance(error, httpx.ReadTimeout) and not api.disturbed:
                self.faults.append(f"{method} {path} to {api.name} was not answered within {_TIMEOUT_SECONDS:g} s")
            return None
        self.answers[f"{api.name} {answer.status_code}"] += 1
        late = answer.status_code == _LATE and api.disturbed
        return None if answer.status_code == _AWAY or late else answer


def _change(chance: random.Random) -> dict[str, Any]:
    if chance.random() < 0.3:
        return {"type": "full_rebuild"}
    return {"type": "payload.patch", "payload": {"seed": chance.randrange(200)}}
