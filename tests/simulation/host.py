"""A simulated process with the real worker, driver, cache and executor in it, on ports to the simulated server."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any, cast
from uuid import UUID

import orjson
from eventsourcing.persistence import StoredEvent

from orchestrator.application.commands import RunCommands
from orchestrator.application.local_workers import LocalWorkers
from orchestrator.cache.answers import Answer, Entry, Granted, Hit, Question, Taken
from orchestrator.domain.output import Output, output_from_json
from orchestrator.domain.workflow import Workflow
from orchestrator.eventstore.log import PostgresLog
from orchestrator.eventstore.recorded import Recorded
from orchestrator.eventstore.runs import RunStore
from orchestrator.eventstore.writer import Writer
from orchestrator.postgres.listener import CHANNELS, EVENTS, FLIGHTS
from orchestrator.skills.call import SkillCall
from orchestrator.skills.context import StepContext
from orchestrator.skills.perform import perform
from orchestrator.skills.registry import SkillRegistry
from orchestrator.workers.claims import Claimed, HeartbeatReply, WorkerIdentity
from orchestrator.workers.executor import OnBegun, ignore
from orchestrator.workers.services import WorkerServices
from orchestrator.workers.worker import Worker
from tests.simulation.loop import OUTSIDE, Process, SimulatedLoop
from tests.simulation.server import Server, Session
from tests.simulation.stage import STAGE, Stage, registry

EPOCH_MS = 1_750_000_000_000
RECONNECT_SECONDS = 0.1


class RemoteSession:
    """The writer's connection to the server."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def insert(self, stored: Sequence[StoredEvent], inline: str | None) -> int:
        return int(
            await self._server.call(self._server.append, stored, None if inline is None else orjson.loads(inline))
        )

    async def read(self, stream_id: UUID, after_version: int) -> list[tuple[StoredEvent, int]]:
        return list(await self._server.call(self._server.log.stored, str(stream_id), after_version))

    def close(self) -> None:
        pass


class RemoteLog(PostgresLog):
    """The log as a process reaches it: written by the real writer, read from the server's memory."""

    def __init__(self, server: Server) -> None:
        super().__init__(cast("Any", None), server.log.mapper, Writer(lambda: RemoteSession(server)))
        self._server = server

    def read(self, stream_id: str, after_version: int = 0, limit: int | None = None) -> list[Recorded]:
        return self._server.log.read(stream_id, after_version, limit)

    def read_log(self, after_position: int, limit: int) -> list[Recorded]:
        return self._server.log.read_log(after_position, limit)

    def last_position(self) -> int:
        return self._server.log.last_position()


class RemoteListener:
    """The listening connection, reopened after a loss; then every callback is called, as by `Listener`."""

    def __init__(self, process: Process, server: Server) -> None:
        self._process = process
        self._server = server
        self._callbacks: dict[str, list[Callable[[str], None]]] = {channel: [] for channel in CHANNELS}
        self.session: Any = None
        self.connect()

    @property
    def connected(self) -> bool:
        return self.session is not None

    def on(self, channel: str, callback: Callable[[str], None]) -> None:
        self._callbacks[channel].append(callback)

    def connect(self) -> None:
        if self._server.away:
            self._server.loop.call_later(RECONNECT_SECONDS, self.connect, context=self._process.context)
            return
        self.session = Session(self._process, self._deliver, self._lost)
        self._server.sessions.append(self.session)
        for channel in self._callbacks:
            self._deliver(channel, str(self._server.log.last_position()) if channel == EVENTS else "")

    def _lost(self) -> None:
        self.session = None
        self._server.loop.call_later(RECONNECT_SECONDS, self.connect, context=self._process.context)

    def _deliver(self, channel: str, payload: str) -> None:
        for callback in self._callbacks[channel]:
            callback(payload)


class RemoteQueue:
    """The queue and the register of workers, as `Claims` has them in SQL."""

    def __init__(self, server: Server, runs: RunStore, identity: WorkerIdentity, skills: Sequence[str]) -> None:
        self._server = server
        self._runs = runs
        self._identity = identity
        self._name = identity.id
        self.faults = 0
        """How many calls from now on meet a fault of the program."""

    def _meet_faults(self) -> None:
        if self.faults:
            self.faults -= 1
            raise ZeroDivisionError("a fault of the program")

    async def beat(self, skills: Sequence[str]) -> HeartbeatReply:
        server = self._server
        self._meet_faults()
        found = await server.call(server.beat, self._name, self._identity.lease_seconds, skills)
        return HeartbeatReply(**found)

    async def sweep(self) -> int:
        self._meet_faults()
        return int(await self._server.call(self._server.sweep, self._name))

    async def claim(self, room: int, skills: Sequence[str]) -> Claimed:
        self._meet_faults()
        histories = await self._server.call(self._claim, room, skills)
        folded = [self._runs.fold(run_id, history) for run_id, history, _ in histories]
        return Claimed(folded, len(folded) >= room, {run_id: losses for run_id, _, losses in histories})

    def _claim(self, room: int, skills: Sequence[str]) -> list[tuple[str, list[Recorded], int]]:
        server = self._server
        claimed = server.claim(self._name, room, skills)
        return [(run_id, server.log.read(run_id), server.queue[run_id].losses) for run_id in claimed]

    def keep_lease(self) -> None:
        raise AssertionError("see Host.block")

    async def owners(self, run_ids: Sequence[str]) -> dict[str, str | None]:
        found = await self._server.call(self._server.owners, self._name, run_ids)
        return dict(found)

    async def release(self, run_ids: Sequence[str]) -> None:
        await self._server.call(self._server.release, self._name, list(run_ids))

    async def sign_off(self) -> None:
        await self._server.call(self._server.sign_off, self._name)


class EarlierRuns:
    """Results of other runs, from the log."""

    def __init__(self, server: Server, runs: RunStore) -> None:
        self._server = server
        self._runs = runs

    async def outputs(self, tenant: str, run_id: str, steps: Sequence[str]) -> Mapping[str, Output]:
        run = (await self._server.ask(self._runs.load, run_id)).run
        return {step: output for step in steps if (output := run.step(step).output) is not None}

    async def data(self, tenant: str, output: Output) -> Any:
        return output.data

    def earlier(self, tenant: str, wanted: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], tuple[str, Entry]]:
        found = {}
        for run_id, step in wanted:
            run = self._runs.load(run_id).run
            state = run.step(step)
            if state.output is not None and state.input_hash is not None:
                maker = run.maker(step)
                skill = state.skill or self._runs.load(maker).run.step(step).skill or ""
                found[run_id, step] = state.input_hash, Entry(skill, maker, state.output)
        return found


class RemoteCache:
    """The step cache without its quick tiers: earlier results, the cold tier, and waiting for those in the making."""

    def __init__(self, server: Server, listener: RemoteListener, earlier: EarlierRuns, worker: str) -> None:
        self._server = server
        self._earlier = earlier
        self._worker = worker
        self._landed = asyncio.Event()
        listener.on(FLIGHTS, lambda _: self._landed.set())

    async def consult(
        self, tenant: str, run_id: str, serving: Sequence[str], questions: Sequence[Question]
    ) -> list[Answer]:
        ask = self._server.ask
        wanted = [(question.earlier_run, question.step) for question in questions if question.earlier_run]
        earlier = await ask(self._earlier.earlier, tenant, wanted) if wanted else {}
        answers = await ask(self._answer, tenant, run_id, serving, questions, earlier)
        return list(answers)

    def _answer(
        self,
        tenant: str,
        run_id: str,
        serving: Sequence[str],
        questions: Sequence[Question],
        earlier: Mapping[tuple[str, str], tuple[str, Entry]],
    ) -> list[Answer]:
        answers: list[Answer] = []
        for question in questions:
            input_hash, entry = earlier.get((question.earlier_run or "", question.step), (None, None))
            if entry is not None and input_hash == question.input_hash and entry.skill == question.skill:
                answers.append(Hit(entry.output, entry.source_run, "base", "unchanged"))
                continue
            found = self._server.consult(self._worker, tenant, run_id, serving, question)
            if isinstance(found, dict):
                answers.append(Hit(output_from_json(orjson.loads(found["output"])), found["run_id"], "cold"))
            else:
                answers.append(Granted("no result with this key") if found else Taken())
        return answers

    async def wait(self, key: str) -> None:
        self._landed.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._landed.wait(), 1.0)

    def epoch(self, tenant: str) -> int | None:
        return None

    def keep(self, tenant: str, epoch: int | None, made: Sequence[tuple[Question, Entry]]) -> None:
        pass


class Performer:
    """Performs calls of the skills this process knows; they make data only, so there is nothing to keep."""

    def __init__(self, skills: SkillRegistry) -> None:
        self._skills = skills

    def skill(self, skill_id: str) -> str | None:
        return f"{skill_id}@{self._skills.get(skill_id).version}" if skill_id in self._skills else None

    async def execute(self, call: SkillCall, begun: OnBegun = ignore) -> Output:
        begun()
        nothing: Any = None
        context = StepContext.for_call(call, nothing)
        return await perform(self._skills.get(call.skill_id), call, context, nothing)

    def trouble(self) -> str | None:
        return None


class RemoteDatabase:
    """The database as commands use it."""

    def __init__(self, server: Server) -> None:
        self.call = server.ask


def commands(server: Server, runs: RunStore, local: LocalWorkers | None = None) -> RunCommands:
    """The real commands; those that would look for a workflow are not to be used."""
    without: Any = None
    database: Any = RemoteDatabase(server)
    return RunCommands(database, runs, without, local or LocalWorkers())


class Host:
    """One worker process, which takes requests as well, and the ways to end it."""

    def __init__(
        self,
        name: str,
        server: Server,
        stage: Stage,
        workflows: Mapping[str, Workflow],
        *,
        skills: Sequence[str],
        lease_seconds: float,
        max_runs: int,
    ) -> None:
        self.name = name
        self.loop: SimulatedLoop = server.loop
        self.server = server
        self.process = self.loop.start_process(name)
        self.process.context.run(STAGE.set, stage)
        self.leaving = False
        self.worker = self.process.context.run(self._build, stage, workflows, skills, lease_seconds, max_runs)
        self.task = self.loop.create_task(self.worker.work(), context=self.process.context)

    def _build(
        self, stage: Stage, workflows: Mapping[str, Workflow], skills: Sequence[str], lease: float, max_runs: int
    ) -> Worker:
        server: Any = self.server
        identity = WorkerIdentity(self.name, "host", 1, lease)
        self.listener = RemoteListener(self.process, server)
        listener = self.listener
        runs = RunStore(RemoteLog(server), lambda tenant, name, version: workflows[name])
        local = LocalWorkers()
        self.commands = commands(server, runs, local)
        earlier = EarlierRuns(server, runs)
        cache = RemoteCache(server, listener, earlier, self.name)
        known = registry(skills)
        around = WorkerServices(
            worker=self.name,
            runs=runs,
            executor=Performer(known),
            cache=cache,
            source=earlier,
            clock=stage.clock,
        )
        self.queue = RemoteQueue(server, runs, identity, skills)
        worker = local.worker = Worker(
            identity,
            around,
            self.queue,
            listener,
            self.loop,
            skills=known.ids,
            max_runs=max_runs,
            heartbeat_seconds=lease / 3,
        )
        return worker

    @property
    def at_work(self) -> bool:
        return self.process.alive and not self.leaving

    @property
    def has_begun(self) -> bool:
        """Whether it has claimed for the first time: what goes wrong before ends the process."""
        return self.worker._claimed.is_set()

    def block(self, seconds: float) -> None:
        """A skill blocks the event loop; the watchdog's thread keeps the lease meanwhile."""
        self.loop.freeze(self.process)
        self._keep_lease(self.loop.now + seconds)

    def _keep_lease(self, until: float) -> None:
        if self.loop.now >= until:
            self.loop.thaw(self.process)
            return
        registered = self.server.workers.get(self.name)
        if self.process.alive and registered is not None and not (self.server.away or self.server.read_only):
            registered.heartbeat_at = self.loop.now
            self.worker._heartbeat.written(self.loop.now)
        pause = min(self.worker.identity.lease_seconds / 3, until - self.loop.now)
        self.loop.call_later(pause, self._keep_lease, until, context=OUTSIDE)

    def kill(self) -> None:
        """Kill -9: the server sees the connections close."""
        self.loop.kill(self.process)
        if self.listener.session is not None:
            self.server.cut(self.listener.session)

    def leave(self, grace_seconds: float) -> Coroutine[Any, Any, None]:
        """SIGTERM: it counts as leaving from now on, also while it is frozen."""
        self.leaving = True
        return self._leave(grace_seconds)

    async def _leave(self, grace_seconds: float) -> None:
        await self.worker.stop(grace_seconds)
        await self.task
        if self.worker.driving:
            self.loop.errors.append(f"{self.name} has left, and still drives {self.worker.driving} runs")
        self.kill()
