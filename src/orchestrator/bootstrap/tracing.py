"""Set up tracing: spans go to the configured collector, to an SDK set up by the host program, or nowhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING

from opentelemetry import trace

from orchestrator.bootstrap.configured import package_of
from orchestrator.settings import Settings
from orchestrator.telemetry.tracing import OFF, Tracing

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_NAME = "orchestrator"
_EXPORT_SECONDS = 2.0


@contextmanager
def open_tracing(settings: Settings) -> Iterator[Tracing]:
    """Yield the tracing object, and send the remaining spans at the end.

    Raises:
        SettingsError: a collector is configured, but the packages for it are not installed.
    """
    if settings.otlp_endpoint is not None:
        provider = _provider(settings.otlp_endpoint)
        try:
            yield Tracing(provider.get_tracer(_NAME))
        finally:
            provider.shutdown()
        return
    given = trace.get_tracer_provider()
    yield OFF if isinstance(given, trace.ProxyTracerProvider) else Tracing(given.get_tracer(_NAME))


def _provider(endpoint: str) -> "TracerProvider":
    with package_of("OTLP_ENDPOINT", "tracing"):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    resource = Resource.create({"service.name": _NAME, "service.version": version(_NAME)})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=_EXPORT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider
