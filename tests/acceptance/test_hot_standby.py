"""A real hot standby: reads work, every call that writes gets 503 with the reason, and a promotion loses nothing."""

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from orchestrator.bootstrap.database import MIGRATIONS
from orchestrator.postgres.migrate import migrate
from tests.standby import Pair
from tests.waiting import eventually
from tests.world.programs import FIXTURES, Program, Site, started

CHAIN = FIXTURES / "chain.yaml"
QUICK = {
    "ORCHESTRATOR_LEASE_SECONDS": "4",
    "ORCHESTRATOR_HEARTBEAT_SECONDS": "0.5",
    "ORCHESTRATOR_NETWORK_TIMEOUT_MS": "1500",
}


@pytest.fixture
def pair(data_dir: Path) -> Iterator[Pair]:
    with Pair(data_dir / "pair") as servers:
        migrate(servers.url, MIGRATIONS)
        yield servers


def calls(document: Any, run_id: str) -> Iterator[tuple[str, str]]:
    """Yield the method and path of every call, for an existing run where a run is named."""
    for path, operations in document["paths"].items():
        filled = re.sub(r"\{run_?[iI]d\}", run_id, path)
        for method in operations:
            yield method.upper(), re.sub(r"\{[^}]*\}", "first", filled)


def writes(run_id: str) -> list[tuple[str, dict[str, Any]]]:
    trigger = {"workflowName": "chain.v1", "triggerPayload": {"file": "x"}}
    workflow = {"workflowName": "x.v1", "version": "1", "steps": [{"stepId": "a", "skillId": "chain.link"}]}
    return [("/runs", trigger), (f"/runs/{run_id}/cancel", {}), ("/workflows", workflow)]


def at_once(requests: Sequence[tuple[str, str, dict[str, Any]]]) -> dict[str, httpx.Response]:
    """Make requests side by side, because each may wait for its deadline; return the responses by method and URL."""

    def ask(method: str, url: str, body: dict[str, Any]) -> tuple[str, httpx.Response]:
        sent = body if method in ("POST", "PUT", "PATCH") else None
        return f"{method} {url}", httpx.request(method, url, json=sent, timeout=60)

    with ThreadPoolExecutor(len(requests)) as threads:
        return dict(threads.map(lambda one: ask(*one), requests))


def test_a_standby_serves_reads_and_its_promotion_loses_nothing(pair: Pair, home: Path, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    url = f"{pair.url}&target_session_attrs=any"  # reads go on while no server accepts writes
    env = {**QUICK, "ORCHESTRATOR_DATABASE_URL": url, "ORCHESTRATOR_DATA_DIR": str(home)}
    with ExitStack() as stack:
        worker = stack.enter_context(Program("worker", "--skills", FIXTURES / "links.py", env=env))
        worker.ready()
        api = stack.enter_context(Program("api", "--port", "0", "--workflows", CHAIN, env=env))
        address = api.ready()
        site = stack.enter_context(Site(address))
        payload = {"file": str(tmp_path / "made"), "gate": str(gate)}
        run_id = site.trigger("chain.v1", payload)
        eventually(lambda: "second" in started(site.events(run_id)), what="the step is executing")
        eventually(lambda: site.code("/health/ready") == 200, what="the API is ready")
        document = httpx.get(f"{address}/openapi.json").json()
        pair.lose_primary()

        eventually(lambda: site.code("/runs") == 200, what="the standby serves reads", shows=lambda: api.err)
        ready = httpx.get(f"{address}/health/ready", timeout=30)
        assert (ready.status_code, ready.json()["error"]) == (503, "NOT_READY")
        assert "the database is read-only: a standby" in ready.json()["message"]
        refused = at_once([("POST", f"{address}/api/v1{path}", body) for path, body in writes(run_id)])
        for path, answer in refused.items():
            assert answer.status_code == 503, (path, answer.text)
            assert "the database is read-only: a standby" in answer.json()["message"], (path, answer.text)
        for path in (f"/runs/{run_id}", f"/runs/{run_id}/events", "/runs", "/workflows"):
            assert site.code(path) == 200, path
        every = [(method, f"{address}{path}", {}) for method, path in calls(document, run_id) if "/stream" not in path]
        assert len(every) > 20
        for path, answer in at_once(every).items():
            assert answer.status_code != 500, (path, answer.text)

        pair.fail_over()
        eventually(lambda: site.code("/health/ready") == 200, what="the API is ready", shows=lambda: api.err)
        gate.touch()
        assert site.ended(run_id)["status"] == "completed"
        second = site.trigger("chain.v1", {"file": str(tmp_path / "more")})
        assert site.ended(second)["status"] == "completed"
        for program in (api, worker):
            assert "Traceback" not in program.err, program.err
