"""What a seed stands for: workflows, requests, workers and everything that goes wrong."""

import random
from dataclasses import dataclass, field
from typing import Any

from orchestrator.domain.workflow import CachePolicy, RetryPolicy, Step, Workflow
from tests.simulation.server import Weather
from tests.simulation.stage import COMMON, RARE

_GRAPHS = (
    {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")},
    {"a": (), "b": (), "c": ("a", "b"), "d": ("c",), "e": ("c",)},
    {"a": (), "b": ("a",), "c": ("b",)},
    {"a": (), "b": (), "c": ()},
    {
        "plan": (),
        "intro": ("plan",),
        "bgm": ("plan",),
        "sfx": ("plan",),
        "mix": ("bgm", "sfx"),
        "end": ("intro", "mix"),
    },
)
_BLOWS = ("kill",) * 4 + ("freeze",) * 3 + ("cut", "crash", "leave", "join", "read_only", "block", "fault")
_NATURES = ("steady",) * 14 + ("flaky",) * 4 + ("slow", "hopeless", "exhausted", "unresolvable")


@dataclass(frozen=True)
class Request:
    """A run to ask for, and what is asked of it afterwards (times in seconds; None: not)."""

    at: float
    workflow: str
    payload: dict[str, Any]
    cancel_after: float | None = None
    update: dict[str, Any] | None = None
    force: tuple[str, ...] | bool = False
    retry: bool = False


@dataclass(frozen=True)
class Blow:
    """One thing that goes wrong: what, when (a time, or a number of the loop's turns), to which worker, how long."""

    what: str
    at: float
    turn: int | None
    whom: int
    seconds: float


@dataclass
class Scenario:
    seed: int
    workflows: dict[str, Workflow] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    blows: list[Blow] = field(default_factory=list)
    workers: list[tuple[str, ...]] = field(default_factory=list)
    weather: Weather = field(default_factory=Weather)
    lease_seconds: float = 1.0
    max_runs: int = 500


def scenario(seed: int) -> Scenario:
    """Return what a seed stands for."""
    chance = random.Random(seed)
    made = Scenario(seed)
    for number in range(chance.choice((1, 1, 2))):
        workflow = _workflow(chance, f"w{number}")
        made.workflows[workflow.name] = workflow
    for _ in range(chance.choice((1, 1, 2, 3, 4))):
        made.requests.append(_request(chance, chance.choice(list(made.workflows.values()))))
    for _ in range(chance.choice((1, 2, 2, 3))):
        made.workers.append((COMMON, RARE) if chance.random() < 0.7 else (COMMON,))
    for _ in range(chance.choice((0, 1, 2, 3, 5))):
        made.blows.append(_blow(chance, len(made.workers)))
    if chance.random() < 0.6:
        made.weather = Weather(
            refused=chance.choice((0.0, 0.02, 0.1)),
            lost=chance.choice((0.0, 0.02, 0.1)),
            limbo=chance.choice((0.0, 0.03, 0.1)),
            latency=chance.choice((0.002, 0.02, 0.2)),
            news_latency=chance.choice((0.005, 0.3)),
            news_twice=chance.choice((0.0, 0.3)),
        )
    made.max_runs = chance.choice((1, 2, 500))
    return made


def _workflow(chance: random.Random, name: str) -> Workflow:
    graph = chance.choice(_GRAPHS)
    cached = chance.random() < 0.6
    calm = chance.random() < 0.4
    steps = {}
    for step, needed in graph.items():
        nature = "steady" if calm else chance.choice(_NATURES)
        failures = chance.choice((1, 2)) if nature in ("flaky", "slow") else 0
        # a worker that was frozen finds the time of what it was executing used up: leave attempts for that
        attempts = failures + 6 if nature == "slow" else max(2, failures + 1)
        steps[step] = Step(
            step,
            RARE if chance.random() < 0.1 else COMMON,
            needed,
            input=_input(step, needed, nature, failures, salted=chance.random() < 0.7),
            cache=CachePolicy(cached and chance.random() < 0.8, chance.choice(("global", "global", "run_only"))),
            retry=RetryPolicy(attempts, chance.choice((0, 50, 400)), 600, 2.0, chance.choice((0.0, 0.5))),
            timeout_ms=700 if nature == "slow" else None,
        )
    return Workflow(name, "1", steps, max_parallel_steps=chance.choice((None, None, 1, 2)))


def _input(step: str, needed: tuple[str, ...], nature: str, failures: int, *, salted: bool) -> dict[str, str]:
    made = {
        "step": f"'{step}'",
        "nature": f"'{nature}'",
        "failures": f"`{failures}`",
        "upstream": f"[{', '.join(f'steps.{other}.data.made' for other in needed)}]" if needed else "`[]`",
    }
    if salted or not needed:
        made["salt"] = f"trigger.{step}"
    if nature == "unresolvable":
        made["broken"] = "abs('text')"
    return made


def _request(chance: random.Random, workflow: Workflow) -> Request:
    change = chance.random()
    step = chance.choice(list(workflow.steps))
    return Request(
        at=chance.choice((0.0, 0.0, chance.random())),
        workflow=workflow.name,
        payload={name: chance.choice((0, 0, 1)) for name in workflow.steps},
        cancel_after=chance.random() ** 2 if chance.random() < 0.25 else None,
        update={step: 2} if change < 0.3 else None,
        force=chance.choice((False, False, (step,), True)),
        retry=change > 0.6,
    )


def _blow(chance: random.Random, workers: int) -> Blow:
    return Blow(
        what=chance.choice(_BLOWS),
        at=1.5 * chance.random() ** 1.5,
        turn=int(chance.random() * 600) if chance.random() < 0.6 else None,
        whom=chance.randrange(workers),
        seconds=chance.choice((0.1, 0.8, 1.5, 3.0)) * chance.random(),
    )
