"""One trace from a request to the steps of its run, recorded by the real SDK; and what is handed on without one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from orchestrator.api.app import create_app
from orchestrator.application.core import Core
from orchestrator.bootstrap.working import open_worker
from orchestrator.skills import SkillError, StepContext, skill
from orchestrator.skills.registry import SkillRegistry
from orchestrator.telemetry.tracing import Tracing
from orchestrator.workflows import define, step
from tests.integration.api.conftest import core
from tests.waiting import until
from tests.world.core import open_world, register
from tests.world.http import LIMITS, RUNS, connect

__all__ = ["core"]

GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CHAIN = define("test.traced", "1", [step("one", "test.ctx"), step("two", "test.ctx", ["one"])])
FAILING = define("test.failing", "1", [step("only", "test.fail")])
seen: list[str | None] = []


@skill("test.ctx")
def remember(asked: dict[str, Any], ctx: StepContext) -> dict[str, Any]:
    seen.append(ctx.trace)
    return {}


@skill("test.fail")
async def fail(asked: dict[str, Any], ctx: StepContext) -> dict[str, Any]:
    raise SkillError("TEST_BROKEN", "it broke", retryable=False)


class Spans:
    """What was recorded, by name."""

    def __init__(self) -> None:
        self._kept = InMemorySpanExporter()
        self._provider = TracerProvider(shutdown_on_exit=False)
        self._provider.add_span_processor(SimpleSpanProcessor(self._kept))
        self.tracing = Tracing(self._provider.get_tracer("test"))

    @property
    def all(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self._kept.get_finished_spans()}


@asynccontextmanager
async def at_work(core: Core) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an API, and a worker."""
    seen.clear()
    await register(core, CHAIN, FAILING)
    async with (
        connect(create_app(core, LIMITS)) as client,
        open_worker(core, SkillRegistry([remember, fail])),
    ):
        yield client


async def run_through(core: Core, client: httpx.AsyncClient, workflow: str, **headers: str) -> str:
    """Ask for a run, wait until it is over, and return its id."""
    answer = await client.post(RUNS, json={"workflowName": workflow}, headers=headers)
    run_id: str = answer.json()["runId"]

    async def is_over() -> bool:
        return (await core.database.call(core.runs.load, run_id)).run.is_finished

    await until(is_over)
    return run_id


def trace_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return span.context.trace_id


def is_below(span: ReadableSpan, above: ReadableSpan) -> bool:
    assert span.parent is not None
    assert above.context is not None
    return (span.parent.trace_id, span.parent.span_id) == (above.context.trace_id, above.context.span_id)


async def test_request_run_and_steps_are_one_trace_with_the_callers(core: Core) -> None:
    spans = Spans()
    core = replace(core, tracing=spans.tracing)
    async with at_work(core) as client:
        run_id = await run_through(core, client, "test.traced", traceparent=GIVEN)
        await until(lambda: "run test.traced" in spans.all)
    request, run = spans.all[f"POST {RUNS}"], spans.all["run test.traced"]
    one, two = spans.all["step one"], spans.all["step two"]
    assert {trace_of(span) for span in (request, run, one, two)} == {int(GIVEN.split("-")[1], 16)}
    assert request.parent is not None
    assert f"{request.parent.span_id:016x}" == GIVEN.split("-")[2]
    assert request.kind is SpanKind.SERVER
    assert is_below(run, request)
    assert is_below(one, run)
    assert is_below(two, run)
    assert dict(request.attributes or {}) | {"http.response.status_code": 202, "http.route": RUNS} == request.attributes
    assert (run.attributes or {})["orchestrator.run.id"] == run_id
    assert (run.attributes or {})["orchestrator.run.status"] == "completed"
    assert (two.attributes or {})["orchestrator.step.attempt"] == 1
    assert [trace and trace.split("-")[2] for trace in seen] == [
        f"{span.context.span_id:016x}" for span in (one, two) if span.context
    ], "a skill hands on the span of its own step"


async def test_the_context_of_the_request_is_in_the_event(core: Core) -> None:
    spans = Spans()
    core = replace(core, tracing=spans.tracing)
    async with at_work(core) as client:
        run_id = await run_through(core, client, "test.traced")
        events = (await client.get(f"{RUNS}/{run_id}/events")).json()["events"]
    request = spans.all[f"POST {RUNS}"]
    assert request.context is not None
    ids = f"00-{request.context.trace_id:032x}-{request.context.span_id:016x}-"
    assert events[0]["data"]["trace"].startswith(ids)


async def test_updates_and_retries_carry_it_too(core: Core) -> None:
    async with at_work(core) as client:
        failed = await run_through(core, client, "test.failing")
        answer = await client.post(f"{RUNS}/{failed}/retry", headers={"traceparent": GIVEN})
        events = (await client.get(f"{RUNS}/{answer.json()['runId']}/events")).json()["events"]
    assert events[0]["data"]["trace"] == GIVEN


async def test_a_failure_is_marked_where_it_happened(core: Core) -> None:
    spans = Spans()
    core = replace(core, tracing=spans.tracing)
    async with at_work(core) as client:
        await run_through(core, client, "test.failing")
        await until(lambda: "run test.failing" in spans.all)
        await client.get(f"{RUNS}/nonsense")
    for name in ("step only", "run test.failing"):
        span = spans.all[name]
        assert span.status.status_code is StatusCode.ERROR
        assert (span.attributes or {})["error.type"] == "TEST_BROKEN"
    refused = spans.all[f"GET {RUNS}/{{runId}}"]
    assert refused.status.status_code is StatusCode.UNSET, "a refusal is the caller's, not ours"


async def test_without_an_sdk_the_context_is_handed_on_as_it_came(core: Core) -> None:
    assert not core.tracing.is_on
    async with at_work(core) as client:
        await run_through(core, client, "test.traced", traceparent=GIVEN)
        assert seen == [GIVEN, GIVEN]
        seen.clear()
        await run_through(core, client, "test.traced", traceparent="00-" + "0" * 32 + "-b7ad6b7169203331-01")
    assert set(seen) <= {None}


async def test_spans_reach_a_collector(tmp_path: Path, database_url: str) -> None:
    received: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        with open_world(database_url, tmp_path, otlp_endpoint=endpoint) as world:
            async with at_work(world.core) as client:
                await run_through(world.core, client, "test.traced")
        server.shutdown()
        thread.join()
    assert {path for path, _ in received} == {"/v1/traces"}
    assert any(b"run test.traced" in body for _, body in received)
