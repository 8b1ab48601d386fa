"""One schedule: a scenario played to its end, and everything that was wrong with it."""

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.application.caller import Caller
from orchestrator.application.commands import keyed_run_id
from orchestrator.domain.audit import faults
from orchestrator.domain.change import ChangeRequest
from orchestrator.domain.commands import CancelRun, TriggerRun
from orchestrator.domain.decide import decide
from orchestrator.domain.errors import RunNotCancellable, VersionConflict
from orchestrator.domain.events import RunBlocked, RunCancelled, RunRecovered, RunStarted
from orchestrator.domain.evolve import evolve
from orchestrator.domain.plan import BaseRun, Plan, plan_change, plan_retry
from orchestrator.domain.run import DONE, Run
from orchestrator.eventstore.recorded import Recorded
from orchestrator.eventstore.runs import RunStore
from tests.simulation.host import EPOCH_MS, Host, RemoteLog, commands
from tests.simulation.loop import Deadlock, SimulatedLoop
from tests.simulation.scenario import Blow, Request, Scenario
from tests.simulation.server import Server, Weather
from tests.simulation.stage import COMMON, HOPELESS_NATURES, RARE, Stage, nature, right_results

_STORM_SECONDS = 3.0
_PATIENCE_SECONDS = 60.0
_MAX_TURNS = 300_000
_TENANT = "default"
_CLIENT = Caller(_TENANT, "client")


@dataclass
class Asked:
    """A run that was asked for, and what came of a wish to cancel it (None: there was none, or no answer yet)."""

    run_id: str
    workflow: str
    payload: Mapping[str, Any]
    cancelled: bool | None = None


@dataclass
class Outcome:
    seed: int
    faults: list[str]
    seconds: float
    turns: int
    events: list[tuple[Any, ...]]
    counts: dict[str, int] = field(default_factory=dict)
    killed_at: dict[str, int] = field(default_factory=dict)
    """How many workers were killed at each await of the writer."""


def play(scenario: Scenario) -> Outcome:
    """Play a scenario; the same one always goes the same way (given the same PYTHONHASHSEED)."""
    random.seed(scenario.seed)
    return Play(scenario).play()


class Play:
    """A scenario on stage. `act`, when given, is done beside it."""

    def __init__(self, scenario: Scenario, act: "Callable[[Play], Coroutine[Any, Any, None]] | None" = None) -> None:
        self.scenario = scenario
        self.act = act
        self.chance = random.Random(scenario.seed + 1)
        self.loop = SimulatedLoop(self.chance)
        self.server = Server(self.loop, self.chance, scenario.weather)
        self.stage = Stage(self.server.log, self.chance, self.clock)
        self.runs = RunStore(RemoteLog(self.server), lambda tenant, name, version: scenario.workflows[name])
        self.commands = commands(self.server, self.runs)
        self.hosts: list[Host] = []
        self.asked: list[Asked] = []
        self.faults: list[str] = []
        self.blows = 0

    clock_is_off_ms = 0
    """How far the machines' clocks are off; time itself goes on evenly."""

    def clock(self) -> int:
        return EPOCH_MS + int(self.loop.now * 1000) + self.clock_is_off_ms

    def play(self) -> Outcome:
        try:
            self.loop.run(self._main(), max_turns=_MAX_TURNS)
        except Deadlock as deadlock:
            self.faults.append(f"deadlock: {deadlock}")
        events = [
            (one.stream_id, one.version, one.actor, type(one.event).__name__, one.event.at)
            for one in self.server.log.read_log(0, 100_000)
        ]
        counts = {"runs": len(self.asked), "blows": self.blows, "performances": len(self.stage.performances)}
        killed = dict(self.loop.killed_at)
        return Outcome(self.scenario.seed, self.faults, self.loop.now, self.loop.turns, events, counts, killed)

    async def _main(self) -> None:
        for skills in self.scenario.workers:
            self.join(skills)
        clients = [asyncio.create_task(self._ask_for(request)) for request in self.scenario.requests]
        if self.act is not None:
            clients.append(asyncio.create_task(self.act(self)))
        for blow in self.scenario.blows:
            if blow.turn is None:
                self.loop.call_later(blow.at, self._strike, blow)
            else:
                self.loop.at_turn(blow.turn, self._strike, blow)
        await asyncio.sleep(_STORM_SECONDS)
        self._calm()
        await self._await_end(clients)
        self._inspect()

    def join(self, skills: tuple[str, ...]) -> None:
        host = Host(
            f"worker-{len(self.hosts)}",
            self.server,
            self.stage,
            self.scenario.workflows,
            skills=skills,
            lease_seconds=self.scenario.lease_seconds,
            max_runs=self.scenario.max_runs,
        )
        self.hosts.append(host)

    # What goes wrong.

    def _strike(self, blow: Blow) -> None:
        host = self.hosts[blow.whom]
        if self.calm or not host.process.alive:
            return
        self.blows += 1
        match blow.what:
            case "kill":
                host.kill()
            case "freeze":
                self.loop.freeze(host.process)
                self.loop.call_later(blow.seconds, self.loop.thaw, host.process)
            case "cut" if host.listener.session is not None:
                self.server.cut(host.listener.session)
            case "crash" if not self.server.away:
                self.server.crash()
                self.loop.call_later(blow.seconds / 2, self.server.restart)
            case "leave" if host.at_work:
                leaving = host.leave(blow.seconds)
                self.loop.create_task(leaving, context=host.process.context.copy())
            case "read_only" if not self.server.read_only:
                self.server.read_only = True
                self.loop.call_later(blow.seconds, self._turn_writable)
            case "block" if not host.process.frozen:
                host.block(blow.seconds)
            case "fault" if host.has_begun:
                host.queue.faults = 1 + int(3 * blow.seconds)
            case "join":
                self.join((COMMON, RARE))

    def _turn_writable(self) -> None:
        self.server.read_only = False

    calm = False

    def _calm(self) -> None:
        """From here on nothing goes wrong any more, and there is a worker that knows every skill."""
        self.calm = True
        self.server.weather = Weather()
        if self.server.away:
            self.server.restart()
        self.server.read_only = False
        for host in self.hosts:
            self.loop.thaw(host.process)
        able = [host for host in self.hosts if host.at_work and set(host.worker._skills) == {COMMON, RARE}]
        if self.act is None and not able:
            self.join((COMMON, RARE))

    # What is asked for.

    async def _ask_for(self, request: Request) -> None:
        await asyncio.sleep(request.at)
        workflow = self.scenario.workflows[request.workflow]
        asked = await self._trigger(workflow.name, TriggerRun(self.clock(), "initial", request.payload))
        if request.cancel_after is not None:
            await asyncio.sleep(request.cancel_after)
            await self.cancel(asked)
        base = await self._end_of(asked.run_id)
        status, trigger = base.status, base.trigger
        finished = BaseRun(base.id, trigger.payload, trigger.impacted, trigger.reused)
        plan: Plan
        if status == "completed" and request.update is not None:
            plan = plan_change(workflow, finished, ChangeRequest("payload.patch", request.update, request.force))
        elif status in ("failed", "cancelled") and request.retry:
            plan = plan_retry(workflow, finished, {step for step, state in base.states() if state.status in DONE})
        else:
            return
        command = TriggerRun(
            self.clock(),
            "update" if status == "completed" else "retry",
            plan.payload,
            base_run_id=base.id,
            change={"type": plan.change.type, "payload": plan.change.payload},
            impacted=plan.impacted,
            reused=plan.reused,
            forced=plan.forced,
        )
        second = await self._trigger(workflow.name, command)
        if request.cancel_after is not None and self.chance.random() < 0.3:
            await asyncio.sleep(request.cancel_after)
            await self.cancel(second)

    async def _trigger(self, workflow: str, command: TriggerRun) -> Asked:
        """Ask a process with a worker or one without; again, with the same key, when it goes down meanwhile."""
        key = f"{self.chance.getrandbits(64)}"
        asked = Asked(keyed_run_id(_TENANT, key), workflow, command.payload)
        self.asked.append(asked)
        host = self.chance.choice([None, *(host for host in self.hosts if host.at_work)])
        if host is not None:
            answer = self.loop.create_task(
                host.commands.begin_run(_CLIENT, command, self.scenario.workflows[workflow], key),
                context=host.process.context,
            )
            while not answer.done() and host.process.alive:
                await asyncio.sleep(0.02)
            if answer.done():
                answer.result()
                return asked
        await self.commands.begin_run(_CLIENT, command, self.scenario.workflows[workflow], key)
        return asked

    async def cancel(self, asked: Asked) -> None:
        while True:
            loaded = await self.server.ask(self.runs.load, asked.run_id)
            try:
                events = decide(CancelRun(self.clock(), "enough", "client"), loaded.run)
            except RunNotCancellable:
                asked.cancelled = False
                return
            for event in events:
                evolve(loaded.run, event)
            try:
                await self.runs.save(loaded.run, events, tenant=_TENANT, actor="client")
            except VersionConflict:
                continue
            asked.cancelled = True
            return

    async def _end_of(self, run_id: str) -> Run:
        while run_id in self.server.queue:
            await asyncio.sleep(0.1)
        run: Run = (await self.server.ask(self.runs.load, run_id)).run
        return run

    async def _await_end(self, clients: list["asyncio.Task[None]"]) -> None:
        deadline = self.loop.now + _PATIENCE_SECONDS
        while not all(client.done() for client in clients) or self.server.queue:
            if self.loop.now > deadline:
                self.faults.append(f"not over {_PATIENCE_SECONDS:g} s after the last blow: {self._stuck()}")
                return
            await asyncio.sleep(0.1)
        for client in clients:
            if (error := client.exception()) is not None:
                self.faults.append(f"a client failed: {error!r}")
        await asyncio.sleep(1.5)
        for host in self.hosts:
            if host.process.alive and host.worker.driving:
                self.faults.append(f"{host.name} still drives {host.worker.driving} runs when all are over")

    def _stuck(self) -> str:
        runs = {run_id: (row.owner, row.blocked_on) for run_id, row in self.server.queue.items()}
        alive = [host.name for host in self.hosts if host.process.alive]
        return f"queue {runs}, alive {alive}, flights {self.server.flights}"

    # What is to be found in the end.

    def _inspect(self) -> None:
        self.faults += [*self.loop.errors, *self.stage.faults]
        for host in self.hosts:
            if host.process.alive and host.task.done():
                self.faults.append(f"{host.name} stopped working: {host.task.exception()!r}")
        for asked in self.asked:
            self.faults += [f"run {asked.run_id}: {fault}" for fault in self._faults_of(asked)]

    def _faults_of(self, asked: Asked) -> list[str]:
        workflow = self.scenario.workflows[asked.workflow]
        history = self.server.log.read(asked.run_id)
        found = faults(asked.run_id, workflow, [(one.version, one.event) for one in history])  # type: ignore[misc]
        if found or not history:
            return found or ["it was triggered but is not in the log"]
        found += foreign(history)
        run = self.runs.fold(asked.run_id, history).run
        doomed = any(nature(workflow, step) in HOPELESS_NATURES for step in run.waiting)
        expected = "cancelled" if asked.cancelled else "failed" if doomed else "completed"
        if run.status != expected:
            found.append(f"it is {run.status}, not {expected}: {run.error or run.missing_skills}")
        if any(
            isinstance(one.event, RunBlocked) and self._is_doomed(history[:place]) for place, one in enumerate(history)
        ):
            found.append("it was blocked when it had to fail")
        right = right_results(workflow, asked.payload)
        for step, state in run.states():
            if state.output is not None and state.output.data != right.get(step):
                found.append(f"step {step} made {state.output.data}, not {right.get(step)}")
            if expected == "completed" and state.status not in DONE:
                found.append(f"step {step} is {state.status}")
        return found

    def _is_doomed(self, history: Sequence[Recorded]) -> bool:
        return self.runs.fold(history[0].stream_id, history).run.failed_step is not None


def foreign(history: Sequence[Recorded]) -> list[str]:
    """Return what was written to a run by a worker that did not own it: a zombie that got through the fence."""
    found, owner = [], None
    for one in history[1:]:
        if isinstance(one.event, RunStarted | RunRecovered):
            owner = one.event.worker
        if one.actor != owner and not isinstance(one.event, RunCancelled):
            found.append(f"version {one.version} was written by {one.actor}, not by {owner}")
    return found
