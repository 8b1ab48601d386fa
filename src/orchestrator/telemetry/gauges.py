"""Gauges that are read from the database on each scrape, with one query that has a deadline."""

import asyncio
from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from orchestrator.postgres.database import Database
from orchestrator.postgres.shared_calls import SharedCalls
from orchestrator.postgres.sql import load_sql
from orchestrator.postgres.unavailable import DatabaseUnavailable
from orchestrator.telemetry.metrics import Metrics

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

_SQL = load_sql(__file__)
_DEADLINE_SECONDS = 2.0


class Exposition:
    """Renders all metrics of a process as text. Use it on one event loop only."""

    def __init__(self, metrics: Metrics, database: Database, deadline: float = _DEADLINE_SECONDS) -> None:
        self._metrics = metrics
        self._database = database
        self._shared = SharedCalls(database)
        self._deadline = deadline

    async def text(self) -> bytes:
        """Return the metrics as text. If the database does not answer in time, its gauges are omitted."""
        found: dict[str, Any] | None
        try:
            async with asyncio.timeout(self._deadline):
                found = await self._shared.call(self._read)
        except (TimeoutError, DatabaseUnavailable):
            found = None
        registry = CollectorRegistry()
        registry.register(_Gauges(found))
        return generate_latest(self._metrics.registry) + generate_latest(registry)

    def _read(self) -> dict[str, Any] | None:
        with self._database.transaction() as connection:
            connection.execute(_SQL.limit, {"timeout_ms": round(self._deadline * 1000)}, prepare=True)
            return connection.execute(_SQL.read, prepare=True).fetchone()


class _Gauges(Collector):
    """The gauges from one database query; None if the database did not answer."""

    def __init__(self, found: dict[str, Any] | None) -> None:
        self._found = found

    def collect(self) -> Iterator[Metric]:
        """Yield the metric families."""
        found = self._found
        yield GaugeMetricFamily(
            "orchestrator_database_up", "Whether the database answered this scrape.", value=int(found is not None)
        )
        if found is None:
            return
        queue = GaugeMetricFamily(
            "orchestrator_queue_runs", "Unfinished runs: queued, running (claimed), blocked.", labels=["state"]
        )
        for state in ("queued", "running", "blocked"):
            queue.add_metric([state], found[state])
        yield queue
        yield GaugeMetricFamily("orchestrator_workers", "Workers that are alive.", value=found["workers"])
        yield GaugeMetricFamily("orchestrator_log_position", "Position of the newest event.", value=found["position"])
        lag = GaugeMetricFamily(
            "orchestrator_projection_lag_events", "Events that a read model has not applied yet.", labels=["projection"]
        )
        live = GaugeMetricFamily(
            "orchestrator_projection_live",
            "1 while a read model is kept up to date, 0 if it was stopped.",
            labels=["projection"],
        )
        for projection in found["projections"]:
            lag.add_metric([projection["name"]], max(0, found["position"] - projection["position"]))
            live.add_metric([projection["name"]], int(projection["live"]))
        yield lag
        yield live
