"""Everything that can break, one thing at a time. After each, a run that is asked for then must complete."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import psycopg

from orchestrator.postgres.sql import load_sql
from tests.soak.feeder import Accepted, Feeder
from tests.soak.plant import LEASE_SECONDS, STALL_SECONDS, Plant
from tests.soak.processes import Member
from tests.soak.workflows import BLOCK, CRASH, LEAVE, RUDE, SMALL, STALL, STUBBORN

_SQL = load_sql(__file__)
_RECOVERY_SECONDS = 90.0
_STOP_SECONDS = 60.0
_LENGTHS = (0.5, 3.0, 1.5 * LEASE_SECONDS)
_STALLED = 70
_CRASHED = 9


@dataclass
class Faults:
    """The faults, and how long it took each time until a run went through again."""

    plant: Plant
    feeder: Feeder
    chance: random.Random
    recoveries: dict[str, list[float]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    @property
    def all(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Each fault by its name."""
        kinds = {"worker": ("worker-2", "worker-3"), "api": ("api-2",), "projector": ("projector-2",)}
        of_processes = {
            f"{name}_{kind}": lambda act=act, names=names: act(self._one_of(names))
            for kind, names in kinds.items()
            for name, act in (("kill", self._kill), ("freeze", self._freeze), ("stop", self._stop))
        }
        return {
            **of_processes,
            "crash_postgres": self._crash_postgres,
            "failover": self._failover,
            "read_only": self._read_only,
            "refuse_connections": self._refuse_connections,
            "terminate_backends": self._terminate_backends,
            "swallow_network": self._swallow_network,
            "lose_answers": self._lose_answers,
            "kill_valkey": self._kill_valkey,
            "pause_valkey": self._pause_valkey,
            "flush_valkey": self._flush_valkey,
            "blocking_skill": self._blocking_skill,
            "rude_skills": self._rude_skills,
            "stubborn_skill": self._stubborn_skill,
            "deadly_skills": self._deadly_skills,
        }

    async def play(self, deadline: float, only: tuple[str, ...] = ()) -> None:
        """Play round after round, each in another order, until the time is up; each of those named at least once."""
        while True:
            names = list(only or self.all)
            self.chance.shuffle(names)
            for name in names:
                asked_for = only and name not in self.recoveries
                if time.monotonic() > deadline and not asked_for:
                    return
                await self._strike(name)

    async def _strike(self, name: str) -> None:
        began = time.monotonic()
        await self.all[name]()
        mended = time.monotonic()
        for member in self.plant.members:
            if member.code is not None:
                self.wrong.append(f"{member.name} ended with {member.code} during {name}; see {member.log}")
                await asyncio.to_thread(member.restart)
        probe = await self._ask(SMALL, 0.0)
        if await self.feeder.settle([probe], _RECOVERY_SECONDS):
            self.wrong.append(f"{_RECOVERY_SECONDS:g} s after {name} a new run was not over: {probe.run_id}")
        seconds = time.monotonic() - mended
        self.recoveries.setdefault(name, []).append(seconds)
        print(f"{name:20} {mended - began:5.1f} s, a new run was over after {seconds:5.1f} s", flush=True)
        await asyncio.sleep(self.chance.uniform(0.5, 3.0))

    # Processes.

    def _one_of(self, names: tuple[str, ...]) -> Member:
        return self.plant.named(self.chance.choice(names))

    async def _kill(self, member: Member) -> None:
        member.kill()
        await asyncio.sleep(self.chance.choice((0.0, 1.0)))
        await asyncio.to_thread(member.restart)

    async def _freeze(self, member: Member) -> None:
        """Beyond the lease, so that a worker counts as dead, and wakes up as a zombie."""
        member.freeze()
        await asyncio.sleep(self.chance.uniform(0.5, 2.0) * LEASE_SECONDS)
        member.thaw()

    async def _stop(self, member: Member) -> None:
        try:
            code = await asyncio.to_thread(member.stop, _STOP_SECONDS)
            if code != 0:
                self.wrong.append(f"{member.name} ended with {code} after SIGTERM; see {member.log}")
        except TimeoutError:
            raise
        except Exception as error:  # noqa: BLE001 - told in the report
            self.wrong.append(f"{member.name} did not end after SIGTERM: {error!r}; see {member.log}")
            member.kill()
        await asyncio.to_thread(member.restart)

    # Postgres and the way to it.

    async def _crash_postgres(self) -> None:
        await asyncio.to_thread(self.plant.pair.primary.kill)
        await asyncio.sleep(self.chance.choice(_LENGTHS))
        await asyncio.to_thread(self.plant.pair.primary.start)

    async def _failover(self) -> None:
        pair = self.plant.pair
        await asyncio.to_thread(pair.lose_primary)
        await asyncio.sleep(self.chance.choice(_LENGTHS))
        await asyncio.to_thread(pair.fail_over)
        await asyncio.sleep(self.chance.uniform(0.0, 2.0))
        await asyncio.to_thread(pair.join)

    async def _read_only(self) -> None:
        await asyncio.to_thread(self._run, _SQL.turn_read_only, _SQL.reload, _SQL.terminate_all)
        await asyncio.sleep(self.chance.choice(_LENGTHS))
        await asyncio.to_thread(self._run, _SQL.turn_writable, _SQL.reload)

    async def _refuse_connections(self) -> None:
        """Those that stand go on, but a few."""
        for way in self.plant.ways:
            way.proxy.refuse()
        await asyncio.to_thread(self._run, _SQL.terminate_some)
        await asyncio.sleep(self.chance.choice(_LENGTHS))
        for way in self.plant.ways:
            way.proxy.accept()

    async def _terminate_backends(self) -> None:
        until = time.monotonic() + 4.0
        while time.monotonic() < until:
            await asyncio.to_thread(self._run, _SQL.terminate_one)
            await asyncio.sleep(self.chance.uniform(0.0, 0.2))

    async def _swallow_network(self) -> None:
        for way in self.plant.ways:
            way.proxy.swallow()
        await asyncio.sleep(self.chance.choice(_LENGTHS))
        for way in self.plant.ways:
            way.proxy.pass_on()

    async def _lose_answers(self) -> None:
        for way in self.plant.ways:
            way.wire.calm = False
        await asyncio.sleep(5.0)
        for way in self.plant.ways:
            way.wire.calm = True

    def _run(self, *statements: str) -> None:
        """Run statements on the primary, past the proxies."""
        with (
            suppress(psycopg.errors.AdminShutdown),
            psycopg.connect(self.plant.pair.primary.url, autocommit=True) as connection,
        ):
            connection.execute(_SQL.write_all_the_same)
            for statement in statements:
                connection.execute(statement)

    # Valkey.

    async def _kill_valkey(self) -> None:
        self.plant.valkey.kill()
        await asyncio.sleep(self.chance.uniform(0.5, 5.0))
        await asyncio.to_thread(self.plant.valkey.start)

    async def _pause_valkey(self) -> None:
        self.plant.valkey.pause()
        await asyncio.sleep(self.chance.uniform(0.5, 5.0))
        self.plant.valkey.resume()

    async def _flush_valkey(self) -> None:
        await asyncio.to_thread(self.plant.valkey.flush)

    # Skills.

    async def _blocking_skill(self) -> None:
        await self._let(BLOCK, self.chance.uniform(1.0, 1.3 * LEASE_SECONDS), "completed")

    async def _rude_skills(self) -> None:
        await self._let(RUDE, 0.0, "failed")
        await self._let(LEAVE, 0.0, "failed")

    async def _stubborn_skill(self) -> None:
        """Cancelled while it executes, which it ignores."""
        run = await self._ask(STUBBORN, 0.0)
        await asyncio.sleep(2.0)
        await self.feeder.cancel(run)
        await self._expect(run, "cancelled")

    async def _deadly_skills(self) -> None:
        for workflow, expected in ((CRASH, _CRASHED), (STALL, _STALLED)):
            workers = [member for member in self.plant.mortals if member.name.startswith("worker")]
            run = await self._ask(workflow, 0.0)
            until = time.monotonic() + STALL_SECONDS + _RECOVERY_SECONDS
            while all(worker.code is None for worker in workers) and time.monotonic() < until:
                await asyncio.sleep(0.1)
            ended = [worker for worker in workers if worker.code is not None]
            codes = [worker.code for worker in ended]
            if codes != [expected]:
                self.wrong.append(f"{workflow} ended workers with {codes}, not one with {expected}")
            for worker in ended:
                await asyncio.to_thread(worker.restart)
            await self._expect(run, "completed")

    async def _let(self, workflow: str, seconds: float, status: str) -> None:
        await self._expect(await self._ask(workflow, seconds), status)

    async def _ask(self, workflow: str, seconds: float) -> Accepted:
        """Trigger a run that no other client cancels."""
        return await self.feeder.trigger(workflow, self.chance.choice(list(self.plant.keys)), seconds, own=True)

    async def _expect(self, run: Accepted, status: str) -> None:
        await self.feeder.settle([run], _RECOVERY_SECONDS)
        if run.status != status:
            self.wrong.append(f"run {run.run_id} of {run.workflow} is {run.status}, not {status}")
