"""One schedule: actors take turns by chance, crash by chance, and in the end everything must have come out right."""

import random
from collections import Counter
from dataclasses import dataclass

from tests.simulation.cells.actors import Steps, World, client, mover, worker
from tests.simulation.cells.cell import Cell, Directory, Entry, Rules

_TURNS = 400
_SETTLING_TURNS = 1500


@dataclass(frozen=True)
class Played:
    """What came of a schedule."""

    faults: tuple[str, ...]
    moves: int
    given_up: int
    crashes: int
    runs: int


def play(seed: int, rules: Rules | None = None) -> Played:
    """Play the schedule of a seed: always the same one."""
    chance = random.Random(seed)
    rules = rules or Rules()
    cells = {name: Cell(name, rules) for name in ("a", "b")}
    cells["a"].generation, cells["a"].state = 1, "open"
    world = World(Directory(Entry("a")), cells, chance)
    keys = [f"key {number}" for number in range(chance.randrange(2, 7))]
    clients = {key: client(world, key) for key in keys}
    workers = {f"{name}{number}": worker(world, cells[name]) for name in cells for number in range(2)}
    movers: dict[str, Steps] = {}
    crashes = 0
    for _ in range(_TURNS):
        if chance.random() < 0.05:
            movers[f"mover {len(movers)}"] = mover(world, chance.choice(["a", "b"]))
        crashed = chance.random()
        if crashed < 0.03 and movers:
            movers.pop(chance.choice(sorted(movers)))
            crashes += 1
        elif crashed < 0.05:
            name = chance.choice(sorted(workers))
            workers[name] = worker(world, cells[name[0]])
            crashes += 1
        elif crashed < 0.06 and clients:
            key = chance.choice(sorted(clients))  # the caller's process dies and asks again with the same key
            clients[key] = client(world, key)
            crashes += 1
        _turn(chance, clients, workers, movers)
    _settle(world, clients, workers, movers)
    world.faults += _broken_laws(world, keys)
    return Played(tuple(world.faults), world.moves, world.given_up, crashes, len(world.accepted))


def _turn(chance: random.Random, *groups: dict[str, Steps]) -> None:
    group = chance.choice([group for group in groups if group])
    name = chance.choice(sorted(group))
    try:
        next(group[name])
    except StopIteration:
        group.pop(name)


def _settle(world: World, clients: dict[str, Steps], workers: dict[str, Steps], movers: dict[str, Steps]) -> None:
    """Without more crashes, a last mover finishes what was begun, and everything comes to rest."""
    movers.clear()
    for _ in range(_SETTLING_TURNS):
        entry = world.directory.entry
        if not movers and entry.state != "active":
            movers["last"] = mover(world, entry.target or entry.cell)
        if not movers and world.home().generation < entry.generation:
            world.home().reopen(entry.generation)  # whoever gave the move up crashed before this
        _turn(world.chance, *[group for group in (clients, workers, movers) if group])
        if not clients and not movers and entry.state == "active" and not world.home().open_runs():
            return


def _broken_laws(world: World, keys: list[str]) -> list[str]:
    """Return what is wrong at the end."""
    broken = []
    log = world.home().log
    triggered = Counter(event.run for event in log if event.kind == "triggered")
    completed = Counter(event.run for event in log if event.kind == "completed")
    for key in keys:
        run = world.accepted.get(key)
        if run is None:
            broken.append(f"{key} was never answered")
        elif triggered[run] != 1:
            broken.append(f"{run} was accepted, and is in the log {triggered[run]} times")
        elif completed[run] != 1:
            broken.append(f"{run} is completed {completed[run]} times")
    ours = {(event.run, event.attempt) for event in log if event.kind == "completed"}
    if world.results - ours:
        broken.append(f"results were accepted and are gone: {sorted(world.results - ours)}")
    broken += [f"{run} attempt {number} was executed twice" for (run, number), n in world.executed.items() if n > 1]
    return broken
