"""The examples in the client's docstrings, and every call of it, against a program that serves."""

import asyncio
import doctest
import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import orchestrator
from benchmarks.folders import open_folder
from orchestrator.client import AsyncClient, Client
from orchestrator.client.calls import Calls
from tests.acceptance.readme import write_example
from tests.world.programs import FIXTURES, Program

PATIENT = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
CALLS = [name for name in dir(Calls) if not name.startswith("_") and name != "close"]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a program that serves the example of the README."""
    with open_folder() as home:
        write_example(home)
        workflows = ("--workflows", home / "hello.yaml", "--workflows", FIXTURES / "waiting.yaml")
        words = ("--port", "0", "--data-dir", home / "data", *workflows, "--skills", home / "hello.py")
        with Program("dev", *words) as program:
            yield program.ready()
            assert program.stop() == 0


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder to be in."""
    before = Path.cwd()
    os.chdir(tmp_path)
    yield tmp_path
    os.chdir(before)


@pytest.mark.parametrize("name", [*CALLS, "Client"])
def test_the_examples_of_the_docstrings(name: str, server: str, folder: Path) -> None:
    text = inspect.getdoc(Client if name == "Client" else getattr(Client, name))
    assert text is not None
    assert ">>>" in text, f"{name} has no example"
    said: list[str] = []
    with Client(server) as client:
        client.trigger("hello.v1", {"name": "Ada"})  # so that there is a run to list
        known = {"client": client, "server": server, "Client": Client, "Path": Path}
        example = doctest.DocTestParser().get_doctest(text, known, name, None, None)
        outcome = doctest.DocTestRunner(optionflags=PATIENT).run(example, out=said.append)
    assert outcome.failed == 0, "".join(said)


def test_both_clients_have_every_call() -> None:
    public = {name for name in vars(Client) if not name.startswith("_")}
    assert public - {"close"} == set(CALLS)
    for name in CALLS:
        one, other = (inspect.signature(getattr(kind, name)) for kind in (Client, Calls))
        assert one.parameters == other.parameters


def test_every_call_of_the_api_is_there() -> None:
    """The other direction: what the server offers and the client lacks."""
    from orchestrator.api.app import ROUTERS

    offered = {
        getattr(route, "name", "") for router in ROUTERS for route in router.routes if getattr(route, "tags", None)
    }
    names = {
        "trigger_run": "trigger",
        "trigger_runs": "trigger_many",
        "get_run": "run",
        "list_runs": "runs",
        "cancel_run": "cancel",
        "list_steps": "steps",
        "get_step": "step",
        "get_workflow_graph": "workflow_graph",
        "get_data": "step_data",
        "update_run": "update",
        "plan_update": "plan",
        "retry_run": "retry",
        "list_events": "history",
        "stream_events": "events",
        "list_artifacts": "artifacts",
        "get_artifact_content": "content",
        "get_liveness": "live",
        "get_readiness": "ready",
        "get_queues": "queues",
        "get_me": "me",
        "list_run_logs": "logs",
        "stream_run_logs": "logs",
        "list_step_logs": "logs",
        "stream_step_logs": "logs",
        "analyse_cache": "cache_analysis",
        "register_workflow": "register",
        "list_workflows": "workflows",
        "get_workflow": "workflow",
        "list_projections": "projections",
        "rebuild_projection": "rebuild",
    }
    others = {"get_metrics", "create_session", "delete_session", "poll_pool", "beat_attempt", "report_result"}
    assert {names.get(name, name) for name in offered} - set(CALLS) <= others, "for Prometheus, browsers, pull workers"


def test_a_visit_on_an_event_loop(server: str) -> None:
    async def visit() -> list[str]:
        async with AsyncClient(server) as client:
            runs = await asyncio.gather(*(client.trigger("hello.v1", {"name": str(number)}) for number in range(5)))
            ended = await asyncio.gather(*(client.wait(run["runId"], timeout=60) for run in runs))
            steps = await client.steps(ended[2]["id"])
            return [run["status"] for run in ended] + [steps[0]["data"]["text"]]

    assert asyncio.run(visit()) == ["completed"] * 5 + ["Hello 2"]


@pytest.mark.parametrize(
    ("script", "heavy"),
    [
        ("import orchestrator", ["httpx", "pydantic", "psycopg"]),
        ("from orchestrator import Client", ["psycopg", "fastapi"]),
    ],
)
def test_the_package_is_quick_to_import(script: str, heavy: list[str]) -> None:
    script = f"{script}; import sys; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert found.stdout == "[]\n"
    assert orchestrator.Client is Client


@pytest.mark.parametrize("server", ["", "localhost:8000", "ftp://x", "http://me:hush@x", "http://x?a=b", "http://"])
def test_an_address_that_is_none(server: str) -> None:
    with pytest.raises(ValueError, match=r"expected one like http://127.0.0.1:8000") as caught:
        Client(server)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("key", ["", "two words", "line\nbreak", "schlüssel"])
def test_a_key_that_is_none(key: str) -> None:
    with pytest.raises(ValueError, match="invalid key: ") as caught:
        Client(key=key)
    assert not key or key not in str(caught.value)
