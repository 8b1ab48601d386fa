"""`GET /metrics`: what a scrape shows of runs, steps, queue, read models, cache, commits and requests."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace

import httpx
from prometheus_client.parser import text_string_to_metric_families

from orchestrator.api.app import create_app
from orchestrator.application.core import Core
from orchestrator.postgres.database import Database
from tests.integration.counting import CountingDatabase
from tests.waiting import until
from tests.world.core import register
from tests.world.http import LIMITS, RUNS, connect, finished, trigger
from tests.world.lines import SKILLS, STRANGE
from tests.world.work import at_work


async def scrape(client: httpx.AsyncClient) -> Mapping[str, float]:
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


async def scrape_all(client: httpx.AsyncClient) -> Mapping[str, float]:
    """Scrape until the database answers in time, which on a busy machine it may not at once."""
    return await until(
        lambda: scrape(client), what="the database answers", right=lambda found: found["orchestrator_database_up"]
    )


async def test_a_finished_run_is_seen_in_every_figure(core: Core, client: httpx.AsyncClient) -> None:
    await finished(core, client)
    counted = "orchestrator_runs_total completed"
    found = await until(lambda: scrape_all(client), what="it is counted", right=lambda found: counted in found)
    assert found["orchestrator_runs_triggered_total initial"] == 1
    assert found["orchestrator_runs_total completed"] == 1
    assert found["orchestrator_steps_total completed"] == 2
    assert found["orchestrator_step_duration_seconds_count completed"] == 2
    assert found["orchestrator_cache_misses_total"] == 2
    assert found["orchestrator_commit_batch_events_sum"] == core.log.last_position()
    assert found["orchestrator_log_position"] == core.log.last_position()
    assert found["orchestrator_database_up"] == 1
    for projection in ("runs", "run_steps", "artifacts"):
        assert found[f"orchestrator_projection_lag_events {projection}"] == 0
        assert found[f"orchestrator_projection_live {projection}"] == 1
    assert found[f"orchestrator_http_requests_total POST {RUNS} 202"] == 1
    assert found[f"orchestrator_http_request_duration_seconds_count POST {RUNS}"] == 1
    assert found["process_cpu_seconds_total"] > 0


async def test_the_queue_and_the_lag_without_anybody_at_work(core: Core, client: httpx.AsyncClient) -> None:
    await register(core, STRANGE)
    async with at_work(core, SKILLS):

        async def is_blocked() -> bool:
            return (await scrape_all(client))["orchestrator_queue_runs blocked"] == 1

        await trigger(client, "test.strange")
        await until(is_blocked)
        assert (await scrape_all(client))["orchestrator_workers"] == 1
    for _ in range(3):
        await trigger(client, "test.strange")
    found = await scrape_all(client)
    assert [found[f"orchestrator_queue_runs {state}"] for state in ("queued", "running", "blocked")] == [3, 0, 1]
    assert found["orchestrator_projection_lag_events runs"] == 3
    assert found["orchestrator_workers"] == 0


async def test_an_unknown_path_makes_no_figure_of_its_own(client: httpx.AsyncClient) -> None:
    for path in ("/a", "/b", "/api/v1/none"):
        assert (await client.get(path)).status_code == 404
    await client.request("BREW", RUNS)
    found = await scrape(client)
    assert found["orchestrator_http_requests_total GET none 404"] == 3
    assert [name for name in found if "BREW" in name] == []
    assert [name for name in found if name.startswith("orchestrator_http_requests_total other")]


async def test_without_the_database_there_is_still_an_answer(core: Core) -> None:
    away = Database("host=127.0.0.1 port=1 dbname=nowhere user=nobody connect_timeout=1")
    try:
        async with connect(create_app(replace(core, database=away), LIMITS)) as client:
            begun = time.monotonic()
            found = await scrape(client)
            assert time.monotonic() - begun < 5, "the pool alone would wait 5 s, a statement 30 s"
    finally:
        away.close()
    assert found["orchestrator_database_up"] == 0
    assert "orchestrator_log_position" not in found
    assert "orchestrator_commit_batch_events_count" in found


async def test_scrapes_at_once_share_their_query(core: Core, database_url: str) -> None:
    database = CountingDatabase(database_url)
    try:
        async with connect(create_app(replace(core, database=database), LIMITS)) as client:
            await asyncio.gather(*(scrape(client) for _ in range(50)))
    finally:
        database.close()
    assert 1 <= database.lent < 10
