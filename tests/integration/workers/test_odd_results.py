"""Whatever a skill returns or raises: the run ends, the read models go on, and a reused result is what was made."""

import math
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from uuid_utils import uuid7

from orchestrator import SkillError, StepContext, skill
from orchestrator.bootstrap.showing import open_projector
from orchestrator.bootstrap.working import open_worker
from orchestrator.domain.fingerprint import canonical, canonical_value
from orchestrator.domain.run import Run
from orchestrator.domain.workflow import CachePolicy
from orchestrator.skills import SkillRegistry
from tests.servers import Databases
from tests.world.core import World, open_world, statuses
from tests.world.workflows import step, workflow

pytestmark = pytest.mark.asyncio(loop_scope="module")


def deep(levels: int) -> list[Any]:
    nested: list[Any] = []
    for _ in range(levels):
        nested = [nested]
    return nested


class Stage:
    """A workflow of two steps: one does what it is told, one takes the first one's result as its input."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.name = ""
        self.what: Callable[[StepContext], Any] = lambda _: None

    def skills(self) -> SkillRegistry:
        @skill("test.odd")
        async def odd(input: dict[str, Any], ctx: StepContext) -> Any:
            return self.what(ctx)

        @skill("test.echo")
        async def echo(input: dict[str, Any]) -> Any:
            return input

        return SkillRegistry([odd, echo])

    async def clear(self) -> None:
        """Take another workflow of that form, of which nothing is kept."""
        self.name, kept = f"odd-{uuid7()}", CachePolicy()
        odd = step("odd", skill_id="test.odd", cache=kept)
        echo = step("echo", "odd", skill_id="test.echo", cache=kept, got="steps.odd.data")
        await self.world.register(workflow(self.name, odd, echo))

    async def perform(self, what: Callable[[StepContext], Any]) -> Run:
        """See a run to its end, in the log and in the read models."""
        self.what = what
        run = await self.world.run(self.name)
        await self.world.projected()
        assert self.world.core.reader.run("default", run.id)["status"] == run.status
        return run

    def data(self, run: Run, step_id: str) -> Any:
        """Return the data of a step, wherever it is kept."""
        output = run.step(step_id).output
        assert output is not None
        return output.data if output.data_ref is None else self.world.core.store.load_data(output)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def theatre(
    databases: Databases, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    """One worker and one projector for all of it: what goes wrong in one test must not reach the next."""
    name = databases.create(template_database)
    with open_world(databases.url(name), tmp_path_factory.mktemp("odd")) as world, open_projector(world.core):
        stage = Stage(world)
        async with open_worker(world.core, stage.skills()):
            yield stage
    databases.drop(name)


@pytest_asyncio.fixture(loop_scope="module")
async def stage(theatre: Stage) -> Stage:
    await theatre.clear()
    return theatre


SOUND: dict[str, Any] = {
    "nothing": None,
    "text": "äöü \u2028 \U0001f3b5 ' \" \\",
    "numbers": [0.1, 1e300, 1e16, 5e-324, -0.0, 2**53 - 1],
    "order": {"z": 1, "a": {"long key": 1, "k": 2}},
    "empty": {"": [], "a": {}},
    "a hundred levels": deep(100),
    "a NUL in words": "\\u0000",
    "large": "x" * 200_000,
}


@pytest.mark.parametrize("data", SOUND.values(), ids=SOUND)
async def test_a_result_reaches_the_next_step_in_its_canonical_form_made_or_reused(stage: Stage, data: object) -> None:
    made = await stage.perform(lambda _: data)
    assert statuses(made) == {"odd": "completed", "echo": "completed"}
    reused = await stage.perform(lambda _: data)
    assert statuses(reused) == {"odd": "skipped", "echo": "skipped"}, "its input has the hash it had before"
    assert reused.step("echo").input_hash == made.step("echo").input_hash
    for run in (made, reused):
        odd, echo = (stage.data(run, step) for step in ("odd", "echo"))
        assert repr(odd) == repr(data)
        assert echo == {"got": data}
        assert repr(echo) == repr(canonical_value(canonical({"got": data})))


UNSOUND: dict[str, Any] = {
    "not a number": lambda _: {"n": math.nan},
    "infinite": lambda _: [math.inf],
    "too large a number": lambda _: 2**60,
    "far too large a number": lambda _: 10**400,
    "bytes": lambda _: b"bytes",
    "half a character": lambda _: "\ud800",
    "not JSON": lambda _: {"it": object()},
    "keys that are no text": lambda _: {1: 2},
    "a text with a NUL": lambda _: {"text": "a\u0000b"},
    "a key with a NUL": lambda _: {"a\u0000b": 1},
}


@pytest.mark.parametrize("what", UNSOUND.values(), ids=UNSOUND)
async def test_a_result_that_is_not_sound_fails_the_step_with_words(stage: Stage, what: Any) -> None:
    run = await stage.perform(what)
    assert statuses(run) == {"odd": "failed", "echo": "pending"}
    assert run.error is not None
    assert run.error.code == "SKILL_OUTPUT_INVALID"
    assert "$" in run.error.message


def raising(error: BaseException) -> Callable[[StepContext], Any]:
    def fail(_: StepContext) -> None:
        raise error

    return fail


def attached(**fields: Any) -> Callable[[StepContext], Any]:
    def attach(ctx: StepContext) -> None:
        ctx.artifact(b"bytes", **{"type": "text/plain", "filename": "a.txt", **fields})

    return attach


def returning_levels(levels: int) -> Callable[[StepContext], Any]:
    return lambda _: deep(levels)


EITHER_WAY = {
    **{f"{levels} levels": returning_levels(levels) for levels in range(246, 258)},
    "nested too deeply": lambda _: deep(500),
    "nested far too deeply": lambda _: deep(5000),
    "an error with a NUL": raising(SkillError("BROKEN", "a\u0000b", details={"x\u0000": "\u0000"})),
    "an error with half a character": raising(SkillError("BROKEN", "\ud800", details={"x": "\ud800"})),
    "an error code with a NUL": raising(SkillError("BRO\u0000KEN", "x")),
    "an error whose details are no JSON": raising(SkillError("BROKEN", "x", details={"x": object()})),
    "an error with far too much to say": raising(RuntimeError("x" * 1_000_000)),
    "an error with details nested too deeply": raising(SkillError("BROKEN", "x", details={"x": deep(252)})),
    "an artifact's metadata nested too deeply": attached(metadata={"x": deep(250)}),
    "an error that asks for a pause of ages": raising(SkillError("BROKEN", "x", retry_after_ms=10**30)),
    "an exit": raising(SystemExit(3)),
    "an artifact's name with a NUL": attached(filename="a\u0000b.txt"),
    "an artifact's type with a NUL": attached(type="text/\u0000"),
    "an artifact's metadata with a NUL": attached(metadata={"x": "\u0000"}),
    "an artifact's metadata with no number": attached(metadata={"x": math.nan}),
    "an artifact's metadata that is no JSON": attached(metadata={"x": object()}),
}


@pytest.mark.parametrize("what", EITHER_WAY.values(), ids=EITHER_WAY)
async def test_whatever_it_does_the_run_ends_and_the_read_models_go_on(stage: Stage, what: Any) -> None:
    run = await stage.perform(what)
    assert run.is_finished
    after = await stage.perform(lambda _: {"sound": run.id})
    assert after.is_finished
    assert stage.world.core.reader.run("default", after.id)["status"] == after.status
    core = stage.world.core
    assert core.reader.steps("default", run.id) == core.reader.folded_steps(core.runs.load(run.id))
