"""The core services of a process: database, log, commands and queries. `bootstrap` builds them."""

from dataclasses import dataclass

from orchestrator.access.keys import KeyStore
from orchestrator.application.changes import RunChanges
from orchestrator.application.commands import RunCommands
from orchestrator.application.explain import CacheExplainer
from orchestrator.application.freshness import Freshness
from orchestrator.application.local_workers import LocalWorkers
from orchestrator.artifacts.store import ArtifactStore
from orchestrator.cache.catalogue import CacheCatalogue
from orchestrator.cache.counts import CacheCounts
from orchestrator.eventstore.log import PostgresLog
from orchestrator.eventstore.runs import RunStore
from orchestrator.postgres.database import Database
from orchestrator.postgres.listener import Listener
from orchestrator.projections.rebuild.supervision import ReadModelSupervisor
from orchestrator.projections.views.reader import Reader
from orchestrator.settings import Settings
from orchestrator.telemetry.metrics import Metrics
from orchestrator.telemetry.tracing import Tracing
from orchestrator.workflows.registry import WorkflowRegistry


@dataclass(frozen=True, slots=True)
class Core:
    """The services that every process needs: database, log, commands and queries."""

    settings: Settings
    database: Database
    listener: Listener
    log: PostgresLog
    workflows: WorkflowRegistry
    runs: RunStore
    reader: Reader
    freshness: Freshness
    local_workers: LocalWorkers
    commands: RunCommands
    changes: RunChanges
    cache: CacheCatalogue
    cache_counts: CacheCounts
    metrics: Metrics
    tracing: Tracing
    explainer: CacheExplainer
    store: ArtifactStore
    read_models: ReadModelSupervisor
    keys: KeyStore
