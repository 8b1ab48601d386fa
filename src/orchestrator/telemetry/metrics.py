"""Metrics for Prometheus: their definitions, and the only place that turns events into metrics.

Labels have few values, and users choose none of them: a time series per workflow or tenant would grow without bound.
Each event is counted once, by the process that projects it (see `Projector`), so sums over all processes are correct.
"""

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from orchestrator.cache.counts import CacheCounts
from orchestrator.domain.events import (
    RunBlocked,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunRecovered,
    RunStarted,
    RunTriggered,
    StepCacheHit,
    StepCompleted,
    StepFailed,
    StepOmitted,
    StepRetried,
    StepStarted,
)
from orchestrator.domain.run import Run
from orchestrator.eventstore.recorded import Recorded

_RUN_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200)
_STEP_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
_HTTP_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_COMMIT_EVENTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 4000)
_COMMIT_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)


class Metrics:
    """The metrics of one process. Thread-safe."""

    def __init__(self, cache: CacheCounts) -> None:
        # Without this, every counter gets a second time series with its creation time.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        registry.register(_CacheCollector(cache))
        self._triggered = Counter(
            "orchestrator_runs_triggered", "Triggered runs, by trigger type.", ["trigger"], registry=registry
        )
        self._runs = Counter("orchestrator_runs", "Finished runs, by outcome.", ["outcome"], registry=registry)
        self._interruptions = Counter(
            "orchestrator_run_interruptions",
            "Runs that another worker recovered (recovered), or that lack a skill (blocked).",
            ["kind"],
            registry=registry,
        )
        self._run_seconds = Histogram(
            "orchestrator_run_duration_seconds",
            "Time from the start of a run to its end.",
            ["outcome"],
            buckets=_RUN_SECONDS,
            registry=registry,
        )
        self._wait_seconds = Histogram(
            "orchestrator_run_wait_seconds",
            "Time from triggering a run to its start.",
            buckets=_RUN_SECONDS,
            registry=registry,
        )
        self._started = Counter("orchestrator_step_attempts_started", "Started attempts of steps.", registry=registry)
        steps = Counter(
            "orchestrator_steps",
            "Steps by outcome: completed, skipped (a result existed), omitted; failed and retried count attempts.",
            ["outcome"],
            registry=registry,
        )
        # Kept, because looking up a child by its label takes longer than counting.
        self._skipped, self._completed, self._failed, self._retried, self._omitted = map(
            steps.labels, ("skipped", "completed", "failed", "retried", "omitted")
        )
        step_seconds = Histogram(
            "orchestrator_step_duration_seconds",
            "Duration of an attempt of a step.",
            ["outcome"],
            buckets=_STEP_SECONDS,
            registry=registry,
        )
        self._completed_seconds, self._failed_seconds = map(step_seconds.labels, ("completed", "failed"))
        self._commit_events = Histogram(
            "orchestrator_commit_batch_events",
            "Events written in one transaction.",
            buckets=_COMMIT_EVENTS,
            registry=registry,
        )
        self._commit_seconds = Histogram(
            "orchestrator_commit_duration_seconds",
            "Time to write one batch of events.",
            buckets=_COMMIT_SECONDS,
            registry=registry,
        )
        self._requests = Counter(
            "orchestrator_http_requests",
            "HTTP requests, by route and status.",
            ["method", "route", "status"],
            registry=registry,
        )
        self._request_seconds = Histogram(
            "orchestrator_http_request_duration_seconds",
            "Time from a request to the start of its response.",
            ["method", "route"],
            buckets=_HTTP_SECONDS,
            registry=registry,
        )
        self._restarts = Counter(
            "orchestrator_duty_restarts",
            "Background duties of this process that failed and were restarted.",
            ["duty"],
            registry=registry,
        )
        self._log_lines = Counter("orchestrator_step_log_lines", "Stored lines of step logs.", registry=registry)
        self._log_bytes = Counter(
            "orchestrator_step_log_bytes", "Bytes of text of the stored lines of step logs.", registry=registry
        )
        self._log_cut = Counter(
            "orchestrator_step_log_cut_lines",
            "Lines of step logs that were cut at the limit, or dropped because they could not be written in time.",
            registry=registry,
        )
        self._log_failures = Counter(
            "orchestrator_step_log_write_failures", "Failures to write step logs; each is retried.", registry=registry
        )
        self._deleted = Counter("orchestrator_runs_deleted", "Runs deleted for good.", registry=registry)
        self.streams = Gauge("orchestrator_http_streams", "Open event streams.", registry=registry)
        self._answered: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def tell(self, batch: Iterable[Recorded], runs: Mapping[str, Run]) -> None:
        """Count a batch of events; `runs` holds their runs, folded up to the end of the batch."""
        for recorded in batch:
            run = runs.get(recorded.stream_id)
            if run is not None:
                self._count(recorded, run)

    def committed(self, events: int, seconds: float) -> None:
        """Count a transaction of the log."""
        self._commit_events.observe(events)
        self._commit_seconds.observe(seconds)

    def duty_restarted(self, duty: str) -> None:
        """Count a background duty that failed and was restarted."""
        self._restarts.labels(duty).inc()

    def log_written(self, lines: int, size: int) -> None:
        """Count stored lines of step logs, and the bytes of their text."""
        self._log_lines.inc(lines)
        self._log_bytes.inc(size)

    def log_cut(self, lines: int) -> None:
        """Count lines that are missing in step logs."""
        self._log_cut.inc(lines)

    def log_failed(self) -> None:
        """Count a failure to write step logs."""
        self._log_failures.inc()

    def run_deleted(self) -> None:
        """Count a run that was deleted for good."""
        self._deleted.inc()

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request; `route` is its path template, `seconds` the time to the start of the response."""
        key = method, route, status
        found = self._answered.get(key)
        if found is None:
            found = self._requests.labels(method, route, str(status)), self._request_seconds.labels(method, route)
            self._answered[key] = found
        found[0].inc()
        found[1].observe(seconds)

    def _count(self, recorded: Recorded, run: Run) -> None:
        match recorded.event:
            case RunTriggered() as event:
                self._triggered.labels(event.trigger_type).inc()
            case RunStarted() as event:
                self._wait_seconds.observe(max(0, event.at - run.trigger.at) / 1000)
            case RunRecovered():
                self._interruptions.labels("recovered").inc()
            case RunBlocked():
                self._interruptions.labels("blocked").inc()
            case RunCompleted() as event:
                self._over("completed", run, event.at)
            case RunFailed() as event:
                self._over("failed", run, event.at)
            case RunCancelled() as event:
                self._over("cancelled", run, event.at)
            case StepStarted():
                self._started.inc()
            case StepCacheHit():
                self._skipped.inc()
            case StepCompleted() as event:
                self._completed.inc()
                self._completed_seconds.observe(event.duration_ms / 1000)
            case StepFailed() as event:
                self._failed.inc()
                self._failed_seconds.observe(event.duration_ms / 1000)
            case StepRetried():
                self._retried.inc()
            case StepOmitted():
                self._omitted.inc()
            case _:
                pass

    def _over(self, outcome: str, run: Run, at: int) -> None:
        self._runs.labels(outcome).inc()
        if run.started_at is not None:
            self._run_seconds.labels(outcome).observe(max(0, at - run.started_at) / 1000)


class _CacheCollector(Collector):
    """The counters of the step cache of this process."""

    def __init__(self, counts: CacheCounts) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        """Yield a metric family for each counter."""
        counts = self._counts
        hits = CounterMetricFamily(
            "orchestrator_cache_hits", "Step cache lookups that found a result, by tier.", labels=["tier"]
        )
        for tier in ("memory", "hot", "cold", "base"):
            hits.add_metric([tier], counts.hits[tier])
        yield hits
        for name, value, text in (
            ("misses", counts.misses, "Step cache lookups without a result; the caller produces it."),
            ("waited", counts.waited, "Step cache lookups of a result that another run was producing."),
            ("stored", counts.stored, "Results produced by this process that every run may use."),
            ("promoted", counts.promoted, "Results copied from a slower tier to a faster one."),
            ("invalidated", counts.invalidated, "Cache invalidations received."),
            ("corrupt", counts.corrupt, "Rejected results: they or their artifacts differ from what was stored."),
        ):
            yield CounterMetricFamily(f"orchestrator_cache_{name}", text, value=value)
