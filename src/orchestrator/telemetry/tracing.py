"""Spans for OpenTelemetry: one for a request, one for each worker's turn at a run, one for each attempt of a step.

The context of a request is recorded with the run it asks for (`RunTriggered.trace`), so the spans of a worker on
another machine, or after a crash, belong to the same trace. Where nobody records spans none is made: the context is
handed on as it came.
"""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from orchestrator.domain.output import StepError
from orchestrator.domain.run import Run
from orchestrator.skills.call import SkillCall

# W3C Trace Context, 3.2: version ff and ids of zeros are invalid.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_SERVER_ERROR = 500

_propagator = TraceContextTextMapPropagator()


class Tracing:
    """Makes spans with a tracer; without one it makes none."""

    def __init__(self, tracer: Tracer | None = None) -> None:
        self._tracer = tracer

    @property
    def is_on(self) -> bool:
        """Whether spans are made."""
        return self._tracer is not None

    @contextmanager
    def request(self, method: str, path: str, given: str | None) -> Iterator[Span]:
        """Open the span of a request, in the trace that its `traceparent` header gave."""
        if self._tracer is None:
            yield trace.INVALID_SPAN
            return
        attributes = {"http.request.method": method, "url.path": path}
        with self._tracer.start_as_current_span(method, _context(given), SpanKind.SERVER, attributes) as span:
            yield span

    def run(self, run: Run, tenant: str, worker: str) -> AbstractContextManager[None]:
        """Open the span of a worker's turn at a run, in the trace that asked for the run."""
        return nullcontext() if self._tracer is None else _run_span(self._tracer, run, tenant, worker)

    def step(self, call: SkillCall) -> AbstractContextManager[SkillCall]:
        """Open the span of an attempt; yields the call with the context that is to be handed on."""
        return nullcontext(call) if self._tracer is None else _step_span(self._tracer, call)

    @staticmethod
    def fail(error: StepError) -> None:
        """Mark the span that is open as failed."""
        span = trace.get_current_span()
        span.set_attribute("error.type", error.code)
        span.set_status(StatusCode.ERROR, error.message)


OFF = Tracing()


def answered(span: Span, method: str, route: str, status: int) -> None:
    """Give the span of a request its name and outcome."""
    span.update_name(f"{method} {route}")
    span.set_attribute("http.route", route)
    span.set_attribute("http.response.status_code", status)
    if status >= _SERVER_ERROR:
        span.set_status(StatusCode.ERROR)


def traceparent(given: str | None) -> str | None:
    """Return the context to hand on: that of the span that is open, else the one given, if it is well formed."""
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    return given if given is not None and _TRACEPARENT.fullmatch(given) else None


def trace_id(context: str | None) -> str | None:
    """Return the id of the trace that a W3C trace context belongs to; None when there is none."""
    return context.split("-")[1] if context is not None and _TRACEPARENT.fullmatch(context) else None


def _context(given: str | None) -> Context | None:
    return None if given is None else _propagator.extract({"traceparent": given})


@contextmanager
def _run_span(tracer: Tracer, run: Run, tenant: str, worker: str) -> Iterator[None]:
    attributes = {
        "orchestrator.run.id": run.id,
        "orchestrator.run.trigger": run.trigger.trigger_type,
        "orchestrator.workflow.name": run.workflow.name,
        "orchestrator.workflow.version": run.workflow.version,
        "orchestrator.tenant": tenant,
        "orchestrator.worker": worker,
    }
    # A turn that ends because the run was cancelled or taken over is no error: what counts is how the run stands.
    with tracer.start_as_current_span(
        f"run {run.workflow.name}",
        _context(run.trigger.trace),
        SpanKind.CONSUMER,
        attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield
        finally:
            span.set_attribute("orchestrator.run.status", run.status)
            if run.error is not None:
                Tracing.fail(run.error)


@contextmanager
def _step_span(tracer: Tracer, call: SkillCall) -> Iterator[SkillCall]:
    attributes: dict[str, str | int] = {
        "orchestrator.run.id": call.run_id,
        "orchestrator.step.id": call.step_id,
        "orchestrator.step.attempt": call.attempt,
        "orchestrator.skill.id": call.skill_id,
    }
    with tracer.start_as_current_span(f"step {call.step_id}", None, SpanKind.INTERNAL, attributes):
        yield replace(call, trace=traceparent(call.trace))
