"""An event loop in which time is a number and order is chance.

When nothing is ready the clock jumps to the next timer; of what is ready, any one goes next, as the seed has
it. Every callback belongs to the process whose context it was made in, and a process can be frozen (SIGSTOP)
or killed (kill -9): a frozen one's callbacks are kept for later, a dead one's never run while anybody looks.
"""

import asyncio
import contextvars
import heapq
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from orchestrator.eventstore import writer
from tests.simulation.awaits import waiting

OUTSIDE = contextvars.Context()
"""The context of what belongs to no process: the database, the network, the hand of fate."""


class Deadlock(Exception):
    """Nothing is ready and no timer is set."""


@dataclass(eq=False)
class Process:
    """A simulated process: what runs in `context` is its."""

    name: str
    alive: bool = True
    frozen: bool = False
    kept: list[asyncio.Handle] = field(default_factory=list)
    tasks: list["asyncio.Task[Any]"] = field(default_factory=list)
    context: contextvars.Context = field(default_factory=contextvars.Context)

    def __post_init__(self) -> None:
        self.context.run(PROCESS.set, self)


PROCESS: contextvars.ContextVar[Process] = contextvars.ContextVar("process")


class SimulatedLoop(asyncio.AbstractEventLoop):
    """Runs callbacks in an order that only the seed decides; `now` is the virtual time in seconds."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.now = 0.0
        self.turns = 0
        self.errors: list[str] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.processes: list[Process] = []
        self.killed_at: Counter[str] = Counter()
        self.watch: Callable[[], None] | None = None
        """Called after each turn."""
        self._ready: list[asyncio.Handle] = []
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._timer_number = 0
        self._ambushes: list[tuple[int, Callable[..., None], tuple[Any, ...]]] = []

    def run(self, main: Coroutine[Any, Any, Any], max_turns: int) -> Any:
        """Run until `main` returns, then bury whatever is left; more turns than these are taken for a hot loop."""
        asyncio._set_running_loop(self)
        try:
            task = self.create_task(main, context=OUTSIDE.copy())
            while not task.done():
                self._turn()
                if self.watch is not None:
                    self.watch()
                if self._ambushes and self.turns >= self._ambushes[-1][0]:
                    _, function, args = self._ambushes.pop()
                    function(*args)
                if self.turns > max_turns:
                    raise Deadlock(f"{self.turns} turns by {self.now:.3f} s")
            return task.result()
        finally:
            try:
                self._bury()
            finally:
                asyncio._set_running_loop(None)

    def start_process(self, name: str) -> Process:
        self.processes.append(Process(name))
        return self.processes[-1]

    def at_turn(self, turn: int, function: Callable[..., None], *args: Any) -> None:
        """Call a function between two callbacks: when so many have run."""
        self._ambushes.append((turn, function, args))
        self._ambushes.sort(key=lambda ambush: -ambush[0])

    def freeze(self, process: Process) -> None:
        process.frozen = True

    def thaw(self, process: Process) -> None:
        process.frozen = False
        self._ready += process.kept
        process.kept.clear()

    def kill(self, process: Process) -> None:
        """Kill -9, and note at which awaits of the writer it was."""
        if process.alive:
            tasks = (task for task in process.tasks if not task.done())
            self.killed_at.update(place for task in tasks for place in set(waiting(task, writer)))
        process.alive = False

    def _turn(self) -> None:
        """Run one callback: any of those that are ready."""
        ready = self._ready
        if not ready:
            self._jump()
        last = len(ready) - 1
        place = int(self.chance.random() * (last + 1))
        handle, ready[place] = ready[place], ready[last]
        ready.pop()
        if handle._cancelled:
            return
        process = handle._context.get(PROCESS)  # type: ignore[attr-defined]
        if process is not None and (process.frozen or not process.alive):
            process.kept.append(handle)
            return
        self.turns += 1
        handle._run()

    def _jump(self) -> None:
        """Let time pass up to the next timer."""
        timers = self._timers
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)
        if not timers:
            raise Deadlock(f"nothing is left to happen at {self.now:.3f} s")
        self.now = max(self.now, timers[0][0])
        while timers and timers[0][0] <= self.now:
            self._ready.append(heapq.heappop(timers)[2])

    def _bury(self) -> None:
        """Cancel all tasks, those of dead processes too, and let them end: nobody looks at the world any more."""
        for process in self.processes:
            process.alive = True
            self.thaw(process)
        noted = self.errors
        self.errors = []
        for _ in range(50):
            left = [task for task in self.tasks if not task.done()]
            if not left:
                break
            for task in left:
                task.cancel()
            for _ in range(20 * len(left) + 100):
                if not self._ready and not self._timers:
                    break
                try:
                    self._turn()
                except Deadlock:
                    break
        for task in self.tasks:
            if task.done() and not task.cancelled():
                task.exception()
        self.errors = noted

    # What asyncio asks of a loop.

    def time(self) -> float:
        return self.now

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: str | None = None, context: Any = None) -> "asyncio.Task[Any]":
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        self.tasks.append(task)
        process = (contextvars.copy_context() if context is None else context).get(PROCESS)
        if process is not None:
            process.tasks.append(task)
        return task

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Any = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any, context: Any = None) -> Any:
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Callable[..., Any], *args: Any, context: Any = None) -> Any:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._timer_number += 1
        heapq.heappush(self._timers, (when, self._timer_number, handle))
        handle._scheduled = True
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """A cancelled timer stays in the heap until its time comes."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.errors.append(f"{context.get('message')}: {context.get('exception')!r}")
