"""Create logs quickly: the domain decides the history of a run once; copies get other ids, times and seeds."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

from benchmarks.graphs import campaign_graph
from orchestrator.application.core import Core
from orchestrator.domain.commands import CompleteRun, CompleteStep, FailStep, StartStep, TakeRun, TriggerRun
from orchestrator.domain.decide import decide, decide_trigger
from orchestrator.domain.evolve import begin, evolve
from orchestrator.domain.output import Artifact, Output, StepError
from orchestrator.domain.workflow import Workflow
from orchestrator.eventstore.codec import encode
from orchestrator.postgres.sql import load_sql
from orchestrator.workflows.document import load_document

_SQL = load_sql(__file__)

NAME = "w8.campaign"
ATTEMPTS = 3
_AT = 1_111_111_111_111
"""Placeholder for the start time of a run in the templates; `_SEED` is that of its seed, `_LATER` of its retry time."""
_LATER = _AT + 1_000
_SEED = "5eed5eed"
_INTERLEAVED = 200


@dataclass(frozen=True, slots=True)
class _Stored:
    name: str
    state: bytes


def workflow() -> Workflow:
    """Return the graph of the campaign, each step with up to three attempts."""
    document = campaign_graph("bench.noop", name=NAME)
    for step in document["steps"]:
        step["retryPolicy"] = {"maxAttempts": ATTEMPTS}
    return load_document(document, "bench")


async def make_log(core: Core, events: int) -> int:
    """Register the workflow and append histories of runs until the log has about `events` events; return how many.

    The runs overlap. Every tenth run has a step that failed once, every hundredth has not ended.
    """
    definition = workflow()
    await core.workflows.register(definition, tenant="default", actor="bench")
    position = core.log.last_position()
    plain, stumbling = _history(definition, stumbles=False), _history(definition, stumbles=True)
    with psycopg.connect(core.database.conninfo) as connection, connection.cursor() as cursor:
        with cursor.copy(_SQL.copy) as copy:
            copy.set_types(["uuid", "int8", "text", "bytea", "int8"])
            for row in _rows(plain, stumbling, position, events):
                copy.write_row(row)
                position = row[4]
        cursor.execute(_SQL.analyze)
    return position


def make_read_models(core: Core) -> None:
    """Create the tables derived from a copied log: the read models, and the queue of unfinished runs."""
    with psycopg.connect(core.database.conninfo) as connection:
        known = {"names": list(core.read_models.names), "position": core.log.last_position()}
        connection.execute(_SQL.checkpoints, known)
    for name in core.read_models.all_names:
        core.read_models.rebuild(name)


def stored_history() -> list[tuple[str, bytes]]:
    """Return the names and states of the events of a run, as `make_log` stores them."""
    return [(stored.name, stored.state) for stored in _history(workflow(), stumbles=False)]


def _rows(plain: list[_Stored], stumbling: list[_Stored], position: int, events: int) -> Iterator[tuple[Any, ...]]:
    number, started = 0, round(time.time() * 1000) - events // 10
    while position < events:
        group = []
        for _ in range(_INTERLEAVED):
            number += 1
            history = stumbling if number % 10 == 0 else plain
            if number % 100 == 99:
                history = history[: len(history) // 2]
            began = started + position // 10
            group.append((_run_id(began, number), began, b"%08x" % number, history))
        for version in range(1, max(len(history) for *_, history in group) + 1):
            for run_id, began, seed, history in group:
                if version <= len(history):
                    stored = history[version - 1]
                    position += 1
                    state = stored.state.replace(b"%d" % _AT, b"%d" % began).replace(_SEED.encode(), seed)
                    state = state.replace(b"%d" % _LATER, b"%d" % (began + _LATER - _AT))
                    yield run_id, version, stored.name, state, position


def _run_id(at: int, number: int) -> UUID:
    """Return a UUIDv7, so that newer runs have greater ids, as with `uuid7`."""
    return UUID(int=(at << 80) | (0x7 << 76) | (0b10 << 62) | number)


def _history(definition: Workflow, *, stumbles: bool) -> list[_Stored]:
    """Return the history of a run as a worker would write it."""
    first = decide_trigger(TriggerRun(_AT, "initial", {"seed": _SEED, "style": "pixel art"}), definition)
    run = begin("00000000-0000-0000-0000-000000000000", definition, first)
    stored = [_Stored(*encode(first, "default", "api"))]

    def take(command: Any) -> None:
        for event in decide(command, run):
            evolve(run, event)
            stored.append(_Stored(*encode(event, "default", "worker-1")))

    at = _AT
    take(TakeRun(at, "worker-1"))
    while run.ready or run.due:
        if run.due:
            at = _LATER
        for step in [*run.ready, *run.due]:
            attempt = run.step(step).attempt + 1
            take(StartStep(at, step, attempt, "bench.noop@1", "0" * 56 + _SEED, f"{NAME}:{step}:{_SEED}"))
        for step, attempt in list(run.executing.items()):
            if stumbles and attempt == 1 and step == "generate_bgm_track":
                take(FailStep(at, step, attempt, StepError("BUSY", "the service is busy"), 12.5))
            else:
                take(CompleteStep(at, step, attempt, _output(step), "1" * 56 + _SEED, 34.25))
    take(CompleteRun(at))
    return stored


def _output(step: str) -> Output:
    """Return the output of a step: data for every step, and a file for two of the thirteen."""
    data = {"step": step, "seed": _SEED, "values": [1, 2.5, None, True], "text": "a result of a usual size " * 2}
    if step not in ("generate_intro_image", "bundle_game_template"):
        return Output(data)
    digest = "2" * 56 + _SEED
    name = f"{len(step):08x}-0000-5000-8000-0000{_SEED}"
    artifact = Artifact(name, "image/png", f"cas://{digest}", digest, 1234, f"{step}.png")
    return Output(data, (artifact,))
