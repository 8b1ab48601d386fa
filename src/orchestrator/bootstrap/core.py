"""Build the core of every process: the database, the log, commands and queries."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from orchestrator.access.keys import KeyStore
from orchestrator.application.changes import RunChanges
from orchestrator.application.commands import RunCommands
from orchestrator.application.core import Core
from orchestrator.application.explain import CacheExplainer
from orchestrator.application.freshness import Freshness
from orchestrator.application.local_workers import LocalWorkers
from orchestrator.artifacts.store import ArtifactStore
from orchestrator.artifacts.verify import verify_all
from orchestrator.bootstrap.configured import package_of, store_of
from orchestrator.bootstrap.database import open_database
from orchestrator.bootstrap.filling import build_writer, open_source
from orchestrator.bootstrap.tracing import open_tracing
from orchestrator.cache.catalogue import CacheCatalogue
from orchestrator.cache.code_history import CodeHistory
from orchestrator.cache.counts import CacheCounts
from orchestrator.domain.output import Output
from orchestrator.eventstore.formats import Formats
from orchestrator.eventstore.log import PostgresLog
from orchestrator.eventstore.mapper import build_mapper
from orchestrator.eventstore.recorder import LogRecorder
from orchestrator.eventstore.runs import RunStore
from orchestrator.eventstore.tombstones import Tombstones
from orchestrator.postgres.database import Database
from orchestrator.postgres.listener import FORMAT, Listener
from orchestrator.postgres.shared_calls import SharedCalls
from orchestrator.projections.rebuild.supervision import ReadModelSupervisor
from orchestrator.projections.views.reader import Reader
from orchestrator.settings import Settings
from orchestrator.telemetry.metrics import Metrics
from orchestrator.workflows.registry import WorkflowRegistry


@contextmanager
def open_core(settings: Settings, *, max_wait_seconds: float | None = None, migrates: bool = False) -> Iterator[Core]:
    """Open the database, build the core on it, and close both at the end.

    Args:
        settings: the settings.
        max_wait_seconds: how long an append may wait for the database; None means without limit.
        migrates: whether to migrate a configured database; see `open_database`.
    """
    with open_tracing(settings) as tracing, open_database(settings, migrates=migrates) as opened:
        direct = opened.route.direct if opened.route.shares_sessions else None
        database = Database(
            opened.route.conninfo,
            direct=direct,
            pool_size=settings.pool_size,
            statement_timeout_ms=settings.statement_timeout_ms,
            network_timeout_ms=settings.network_timeout_ms,
        )
        key = settings.cipher_key
        secret = key.get_secret_value() if key else None
        formats = Formats(opened.format)
        with package_of("CIPHER_KEY", "encryption"):
            mapper = build_mapper(compress=settings.compress, cipher_key=secret, formats=formats)
        recorder = LogRecorder(database)
        counts = CacheCounts()
        metrics = Metrics(counts)
        writer = build_writer(database, metrics.committed, max_wait_seconds)
        listener = Listener(
            opened.route.direct,
            opened.revive,
            network_timeout_ms=settings.network_timeout_ms,
            on_restart=metrics.duty_restarted,
        )
        listener.on(FORMAT, formats.finish)
        listener.start()
        try:
            log = PostgresLog(recorder, mapper, writer)
            workflows = WorkflowRegistry(log, database)
            runs = RunStore(log, workflows.get, Tombstones(database).find)
            reader = Reader(database, runs, workflows.get)
            freshness = Freshness(SharedCalls(database), reader, log, listener)
            local_workers = LocalWorkers()
            commands = RunCommands(database, runs, workflows, local_workers)
            catalogue = CacheCatalogue(database, log)
            with store_of("ARTIFACT_URL", settings.artifact_url):
                store = ArtifactStore(settings.artifact_url, settings.spill_bytes, networks=settings.artifact_networks)
            yield Core(
                settings=settings,
                database=database,
                listener=listener,
                log=log,
                workflows=workflows,
                runs=runs,
                reader=reader,
                freshness=freshness,
                local_workers=local_workers,
                commands=commands,
                changes=RunChanges(
                    database=database,
                    runs=runs,
                    reader=reader,
                    workflows=workflows,
                    commands=commands,
                    freshness=freshness,
                    check=StoredArtifacts(store),
                ),
                cache=catalogue,
                cache_counts=counts,
                metrics=metrics,
                tracing=tracing,
                explainer=CacheExplainer(
                    database, runs, catalogue, CodeHistory(database), Outputs(database, reader, store)
                ),
                store=store,
                read_models=ReadModelSupervisor(
                    database,
                    log,
                    workflows.get,
                    custom=opened.custom,
                    open_source=partial(
                        open_source, database.conninfo, direct, compress=settings.compress, cipher_key=secret
                    ),
                ),
                keys=KeyStore(database),
            )
        finally:
            writer.close()
            listener.stop()
            database.close()


class Outputs:
    """Loads results of other runs, and data too large for the log, for run drivers."""

    def __init__(self, database: Database, reader: Reader, store: ArtifactStore) -> None:
        self._database = database
        self._reader = reader
        self._store = store

    async def outputs(self, tenant: str, run_id: str, steps: Sequence[str]) -> Mapping[str, Output]:
        """Return the outputs of steps that a run completed."""
        return await self._database.ask(self._reader.outputs, tenant, run_id, steps)

    async def data(self, tenant: str, output: Output) -> Any:
        """Return an output's data, from the artifact store if it was spilled."""
        return await asyncio.to_thread(self._store.load_data, output, tenant)


class StoredArtifacts:
    """Checks whether the artifacts of a result are intact."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store

    def fault(self, tenant: str, output: Output) -> str | None:  # noqa: ARG002 - stores may be per tenant
        """Return a description of the first unusable artifact of an output, or None."""
        artifacts = [*output.artifacts, *([output.data_ref] if output.data_ref else [])]
        for artifact, reason in verify_all(self._store, artifacts):
            return f"artifact {artifact.filename or artifact.id}: {reason}"
        return None
