"""Read models over HTTP: where each is, and rebuilding one in the background."""

import threading

import httpx

from orchestrator.application.core import Core
from orchestrator.projections.rebuild.background import BackgroundRebuilds
from tests.integration.api.test_openapi import Visitor
from tests.waiting import until
from tests.world.http import finished

PROJECTIONS = "/api/v1/projections"


async def test_a_read_model_is_rebuilt_in_the_background(core: Core, client: httpx.AsyncClient) -> None:
    visitor = Visitor(client, (await client.get("/openapi.json")).json())
    run = await finished(core, client, triggerPayload={"text": "x"})
    listed = (await visitor.ask("GET", "/projections", PROJECTIONS)).json()["projections"]
    assert [one["name"] for one in listed] == ["artifacts", "run_queue", "run_steps", "runs", "step_cache"]
    assert {one["state"] for one in listed} == {"live"}

    answer = await visitor.ask("POST", "/projections/{name}/rebuild", f"{PROJECTIONS}/runs/rebuild")
    assert answer.status_code == 202
    assert answer.json()["name"] == "runs"

    async def is_done() -> bool:
        found = (await visitor.ask("GET", "/projections", PROJECTIONS)).json()["projections"]
        (runs,) = [one for one in found if one["name"] == "runs"]
        return runs["lastRebuild"] is not None and runs["lastRebuild"]["swapped"]

    await until(is_done)
    assert (await client.get(f"/api/v1/runs/{run['id']}")).json() == run


async def test_what_cannot_be_rebuilt_is_refused(core: Core, client: httpx.AsyncClient) -> None:
    visitor = Visitor(client, (await client.get("/openapi.json")).json())
    answer = await visitor.ask("POST", "/projections/{name}/rebuild", f"{PROJECTIONS}/nothing/rebuild")
    assert (answer.status_code, answer.json()["error"]) == (404, "PROJECTION_NOT_FOUND")

    begun, go_on = threading.Event(), threading.Event()

    def hold(_stage: str, _events: int, _goal: int) -> None:
        begun.set()
        go_on.wait(20)

    thread = threading.Thread(target=lambda: core.read_models.rebuild("runs", on_progress=hold))
    thread.start()
    begun.wait(20)
    answer = await visitor.ask("POST", "/projections/{name}/rebuild", f"{PROJECTIONS}/runs/rebuild")
    assert (answer.status_code, answer.json()["error"]) == (409, "REBUILD_RUNNING")
    go_on.set()
    thread.join(20)


def test_a_rebuild_ends_with_its_process(core: Core) -> None:
    background = BackgroundRebuilds(core.read_models)
    background.close()
    background.start("runs", "test")
    background.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "rebuild-runs"]
