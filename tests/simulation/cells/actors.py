"""Who acts at the same time: clients through routers, workers, and the mover. Each `yield` is a moment for others.

An actor is a generator, so a crash is simply the end of it; what it held in its variables is gone.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.simulation.cells.cell import Cell, Directory, Entry, Refused, head, moved

Steps = Iterator[None]


@dataclass
class World:
    """Everything that outlives a crash, and what clients and skills know for sure."""

    directory: Directory
    cells: dict[str, Cell]
    chance: random.Random
    accepted: dict[str, str] = field(default_factory=dict)
    executed: dict[tuple[str, int], int] = field(default_factory=dict)
    results: set[tuple[str, int]] = field(default_factory=set)
    moves: int = 0
    given_up: int = 0
    faults: list[str] = field(default_factory=list)

    def home(self) -> Cell:
        """The cell that the directory names."""
        return self.cells[self.directory.entry.cell]


def client(world: World, key: str) -> Steps:
    """Trigger one run with an Idempotency-Key until an answer comes, through routers with old copies of the directory.

    An answer may be lost after the run was accepted: then the client tries again.
    """
    entry: Entry | None = None
    while True:
        if entry is None or world.chance.random() < 0.2:
            entry = world.directory.entry
        yield
        try:
            run = world.cells[entry.cell].trigger(key, entry.generation)
        except Refused:
            entry = None  # "moved" or "moving": ask the directory again, after a pause
            yield
            continue
        yield
        if world.chance.random() < 0.2:
            continue
        earlier = world.accepted.setdefault(key, run)
        if earlier != run:
            world.faults.append(f"{key} was accepted as {earlier} and as {run}")
        return


def worker(world: World, cell: Cell) -> Steps:
    """Execute runs of one cell for ever, also while the tenant is taken away from it."""
    while True:
        yield
        runs, generation = cell.open_runs(), cell.generation
        if not runs:
            continue
        run = runs[world.chance.randrange(len(runs))]
        yield
        try:
            attempt = cell.start(run, generation)
        except Refused:
            continue
        for _ in range(world.chance.randrange(4)):
            yield
        world.executed[run, attempt] = world.executed.get((run, attempt), 0) + 1
        yield
        try:
            cell.complete(run, attempt, generation)
        except Refused:
            continue
        world.results.add((run, attempt))


def bring(world: World, source: Cell, goal: Cell, generation: int) -> Steps:
    """Export the log of a closed cell, import it, compare the heads, and open the target."""
    if goal.is_open(generation):
        return  # a mover crashed just before the directory was changed
    if source.rules.imports_before_it_opens:
        yield from transfer(world, source, goal, generation)
    goal.open(generation)


def transfer(world: World, source: Cell, goal: Cell, generation: int) -> Steps:
    """Export and import a log, and compare the heads."""
    events, keys = list(source.log), dict(source.keys)
    yield
    arrives = events if world.chance.random() < 0.9 else events[:-1]  # something is lost on the way
    goal.import_(arrives, keys, generation)
    yield
    if source.rules.compares_heads and head(goal.log) != head(source.log):
        raise Refused("the heads differ")


def mover(world: World, target: str) -> Steps:
    """Move the tenant, or go on with a move that a crashed mover left. May give up until the target is open."""
    directory, cells = world.directory, world.cells
    rules = next(iter(cells.values())).rules
    entry = directory.entry
    yield
    if entry.state == "active":
        if entry.cell == target:
            return
        draining = moved(entry, state="draining", target=target)
        if not directory.swap(entry, draining):
            return
        entry = draining
    while True:
        yield
        if directory.entry != entry or entry.target is None:
            return  # another mover went on
        source, goal = cells[entry.cell], cells[entry.target]
        if entry.state == "draining":
            source.drain(entry.generation)
            for _ in range(6):  # for a while only: what still executes then is repeated in the target
                yield
                if not source.open_runs():
                    break
            if world.chance.random() < 0.2:
                back = moved(entry, state="active", target=None, generation=entry.generation + 1)
                if directory.swap(entry, back):
                    world.given_up += 1
                    yield
                    source.reopen(back.generation)
                return
            moving = moved(entry, state="moving", generation=entry.generation + 1)
            if not directory.swap(entry, moving):
                return
            entry = moving
            continue
        if rules.closes_before_the_export:
            source.close(entry.generation)
        yield
        try:
            yield from bring(world, source, goal, entry.generation)
        except Refused:
            return
        yield
        if directory.swap(entry, moved(entry, cell=entry.target, state="active", target=None)):
            world.moves += 1
        return
