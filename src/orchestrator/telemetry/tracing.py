"""Spans for OpenTelemetry: one per request, one per period that a worker executes a run, one per attempt of a step.

The trace context of a request is recorded with the run that it triggers (`RunTriggered.trace`). So the spans of a
worker on another machine, or after a crash, belong to the same trace. If tracing is off, no spans are created, and the
context is passed on unchanged.
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
    """Creates spans with a tracer, or none if there is no tracer."""

    def __init__(self, tracer: Tracer | None = None) -> None:
        self._tracer = tracer

    @property
    def is_on(self) -> bool:
        """Whether spans are created."""
        return self._tracer is not None

    @contextmanager
    def request(self, method: str, path: str, given: str | None) -> Iterator[Span]:
        """Open the span of a request, in the trace of its `traceparent` header `given`."""
        if self._tracer is None:
            yield trace.INVALID_SPAN
            return
        attributes = {"http.request.method": method, "url.path": path}
        with self._tracer.start_as_current_span(method, _context(given), SpanKind.SERVER, attributes) as span:
            yield span

    def run(self, run: Run, tenant: str, worker: str) -> AbstractContextManager[None]:
        """Open the span of a run on a worker, in the trace of the request that triggered the run."""
        return nullcontext() if self._tracer is None else _run_span(self._tracer, run, tenant, worker)

    def step(self, call: SkillCall) -> AbstractContextManager[SkillCall]:
        """Open the span of an attempt, and yield the call with the trace context to pass on."""
        return nullcontext(call) if self._tracer is None else _step_span(self._tracer, call)

    @staticmethod
    def fail(error: StepError) -> None:
        """Mark the current span as failed."""
        span = trace.get_current_span()
        span.set_attribute("error.type", error.code)
        span.set_status(StatusCode.ERROR, error.message)


OFF = Tracing()


def answered(span: Span, method: str, route: str, status: int) -> None:
    """Set the name and outcome of a request's span."""
    span.update_name(f"{method} {route}")
    span.set_attribute("http.route", route)
    span.set_attribute("http.response.status_code", status)
    if status >= _SERVER_ERROR:
        span.set_status(StatusCode.ERROR)


def traceparent(given: str | None) -> str | None:
    """Return the trace context to pass on: that of the current span, otherwise the given one if it is valid."""
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    return given if given is not None and _TRACEPARENT.fullmatch(given) else None


def trace_id(context: str | None) -> str | None:
    """Return the trace id in a W3C trace context, or None."""
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
    # An exception is not an error here (the run may be cancelled or taken over). The run's own error decides.
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
