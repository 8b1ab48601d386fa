"""Results whose artifacts were deleted, truncated or altered behind our back: the step executes again and says why."""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from orchestrator.domain.change import ChangeRequest
from orchestrator.domain.run import Run
from orchestrator.domain.workflow import CachePolicy
from orchestrator.skills import StepContext, skill
from orchestrator.skills.skill import Skill
from orchestrator.workflows import define, step
from tests.world.core import World, open_world, statuses
from tests.world.work import at_work

WORKFLOW = define(
    "test.files",
    "1",
    [
        step("draw", "test.draw", input={"name": "trigger.name"}),
        step("read", "test.read", ["draw"], input={"hash": "steps.draw.artifacts[0].contentHash"}),
    ],
    change_types={"name": ["draw"]},
)


class Drawing:
    """A skill that makes files, and counts how often."""

    def __init__(self, link: str = "") -> None:
        self.calls = 0
        self.link = link

    def skills(self) -> list[Skill]:
        @skill("test.draw")
        async def draw(given: dict[str, Any], ctx: StepContext) -> dict[str, Any]:
            self.calls += 1
            for number in range(3):
                ctx.artifact(
                    f"{given['name']} {number} {'x' * 1000}".encode(), type="text/plain", filename=f"{number}.txt"
                )
            if self.link:
                ctx.register_uri(self.link, type="text/html")
            return {}

        @skill("test.read")
        async def read(given: dict[str, Any]) -> dict[str, Any]:
            return given

        return [draw, read]


def file_of(world: World, run: Run) -> Path:
    """The file of the second artifact."""
    output = run.step("draw").output
    assert output is not None
    path = world.core.store.local_path(output.artifacts[1])
    assert path is not None
    return path


def truncate(path: Path) -> None:
    path.chmod(0o600)
    os.truncate(path, 500)


def alter(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


HARM: dict[str, tuple[Callable[[Path], None], str]] = {
    "deleted": (Path.unlink, "missing"),
    "truncated": (truncate, "size 500 instead of"),
    "altered": (alter, "altered"),
}


@pytest.mark.parametrize("kind", HARM)
@pytest.mark.parametrize("tier", ["memory", "hot", "cold"])
async def test_a_harmed_file_makes_a_miss_that_says_why(world: World, hot_world: World, kind: str, tier: str) -> None:
    harm, words = HARM[kind]
    drawing, used = Drawing(), hot_world if tier == "hot" else world
    await used.register(WORKFLOW)
    async with at_work(used.core, drawing.skills()):
        first = await used.run("test.files", {"name": "a"})
        if tier == "memory":
            harm(file_of(used, first))
            second = await used.run("test.files", {"name": "a"})
    if tier != "memory":
        harm(file_of(used, first))
        async with at_work(used.core, drawing.skills()):
            second = await used.run("test.files", {"name": "a"})
    assert drawing.calls == 2
    assert statuses(second) == {"draw": "completed", "read": "skipped"}  # the same bytes again: early cutoff
    miss = used.misses(second)["draw"] or ""
    assert miss.startswith(f"the result of run {first.id} is unusable: artifact 1.txt: ")
    assert words in miss
    assert (await used.explain(second, "draw")).reason == miss
    assert used.core.cache_counts.corrupt == 1
    async with at_work(used.core, drawing.skills()):
        third = await used.run("test.files", {"name": "a"})
    assert drawing.calls == 2
    assert third.step("draw").source_run == second.id


@pytest.mark.parametrize("scope", ["global", "run_only"])
async def test_an_unchanged_step_whose_file_is_gone_executes_again(world: World, scope: Any) -> None:
    drawing = Drawing()
    policy = CachePolicy(scope=scope)
    await world.register(
        define(
            "test.files",
            "1",
            [step("draw", "test.draw", input={"name": "trigger.name"}, cache=policy)],
            change_types={"name": ["draw"]},
        )
    )
    async with at_work(world.core, drawing.skills()):
        base = await world.run("test.files", {"name": "a"})
        file_of(world, base).unlink()
        update = await world.update(base, ChangeRequest("name", {"unread": 1}))
        assert drawing.calls == 2
        assert "missing" in (world.misses(update)["draw"] or "")
        again = await world.update(update, ChangeRequest("name", {"unread": 2}))
    assert drawing.calls == 2
    assert again.step("draw").hit == "unchanged"


async def test_data_that_was_moved_to_the_store_is_checked_too(database_url: str, tmp_path: Path) -> None:
    calls = 0

    @skill("test.large")
    async def large(given: dict[str, Any]) -> dict[str, Any]:
        nonlocal calls
        calls += 1
        return {"text": "x" * 1000}

    @skill("test.read")
    async def read(given: dict[str, Any]) -> dict[str, Any]:
        return {"length": len(given["text"])}

    with open_world(database_url, tmp_path, spill_bytes=100) as world:
        await world.register(
            define(
                "test.large",
                "1",
                [
                    step("make", "test.large"),
                    step("read", "test.read", ["make"], input={"text": "steps.make.data.text"}),
                ],
            )
        )
        async with at_work(world.core, [large, read]):
            first = await world.run("test.large")
            second = await world.run("test.large")
            assert (calls, statuses(second)) == (1, {"make": "skipped", "read": "skipped"})
            output = first.step("make").output
            assert output is not None
            assert output.data_ref is not None
            path = world.core.store.local_path(output.data_ref)
            assert path is not None
            path.unlink()
            third = await world.run("test.large")
        assert calls == 2
        assert statuses(third) == {"make": "completed", "read": "skipped"}
        assert "missing" in (world.misses(third)["make"] or "")


async def test_data_that_is_lost_within_a_run_fails_the_step_that_reads_it(database_url: str, tmp_path: Path) -> None:
    @skill("test.large")
    async def large(given: dict[str, Any]) -> dict[str, Any]:
        return {"text": "x" * 1000}

    @skill("test.lose")
    async def lose(given: dict[str, Any]) -> dict[str, Any]:
        for file in (tmp_path / "artifacts").rglob("sha256/*/*"):
            file.unlink()
        return {}

    steps = [
        step("make", "test.large"),
        step("lose", "test.lose", ["make"]),
        step("read", "test.lose", ["make", "lose"], input={"text": "steps.make.data.text"}),
    ]
    with open_world(database_url, tmp_path, spill_bytes=100) as world:
        await world.register(define("test.lost", "1", steps))
        async with at_work(world.core, [large, lose]):
            run = await world.run("test.lost")
        error = run.step("read").error
        assert error is not None
        assert (run.status, error.code) == ("failed", "SKILL_INPUT_INVALID")
        assert "is missing" in error.message
        assert (await world.explain(run, "read")).verdict == "failed"


class Page(BaseHTTPRequestHandler):
    """A page that is there, or not."""

    status = 200
    asked = 0

    def do_HEAD(self) -> None:
        type(self).asked += 1
        self.send_response(type(self).status)
        self.send_header("Content-Length", "5")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@contextmanager
def page() -> Iterator[tuple[str, type[Page]]]:
    handler = type("OnePage", (Page,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/page", handler
        server.shutdown()
        thread.join()


async def test_what_lives_elsewhere_is_asked_for(database_url: str, tmp_path: Path) -> None:
    with page() as (link, handler), open_world(database_url, tmp_path, artifact_networks="127.0.0.1") as world:
        drawing = Drawing(link)
        await world.register(WORKFLOW)
        async with at_work(world.core, drawing.skills()):
            await world.run("test.files", {"name": "a"})
            await world.run("test.files", {"name": "a"})
            assert drawing.calls == 1
            handler.status = 404
            gone = await world.run("test.files", {"name": "a"})
            assert drawing.calls == 2
            assert "HEAD returned 404" in (world.misses(gone)["draw"] or "")
            handler.status = 200
            await world.run("test.files", {"name": "a"})
    assert drawing.calls == 2


async def test_what_lives_at_an_inner_address_is_not_asked_for_and_not_reused(world: World) -> None:
    with page() as (link, handler):
        drawing = Drawing(link)
        await world.register(WORKFLOW)
        async with at_work(world.core, drawing.skills()):
            await world.run("test.files", {"name": "a"})
            again = await world.run("test.files", {"name": "a"})
    assert (drawing.calls, handler.asked) == (2, 0)
    assert "ORCHESTRATOR_ARTIFACT_NETWORKS" in (world.misses(again)["draw"] or "")


async def test_many_waiting_runs_make_a_spoiled_result_once(world: World) -> None:
    drawing = Drawing()
    await world.register(WORKFLOW)
    async with at_work(world.core, drawing.skills()):
        first = await world.run("test.files", {"name": "a"})
        file_of(world, first).unlink()
        runs = await asyncio.gather(*(world.run("test.files", {"name": "a"}) for _ in range(20)))
    assert drawing.calls == 2
    assert [run.status for run in runs] == ["completed"] * 20


async def test_of_several_results_the_one_that_is_intact_is_taken(world: World) -> None:
    calls = 0

    @skill("test.draw")
    async def draw(given: dict[str, Any], ctx: StepContext) -> dict[str, Any]:
        nonlocal calls
        calls += 1
        ctx.artifact(b"0", type="text/plain")
        ctx.artifact(f"picture {calls}".encode(), type="text/plain")
        return {}

    await world.register(
        define("test.files", "1", [step("draw", "test.draw")], change_types={"again": ["draw"]}),
    )
    async with at_work(world.core, [draw]):
        made = [await world.run("test.files")]
        for _ in range(3):
            made.append(await world.update(made[0], ChangeRequest("again", {}, force=True)))
        assert calls == 4
        file_of(world, made[3]).unlink()
        second = await world.run("test.files")
        assert second.step("draw").source_run == made[2].id
        file_of(world, made[2]).unlink()
        file_of(world, made[1]).unlink()
        await world.run("test.files")  # three in a row: made again though the first one is whole
    assert calls == 5
