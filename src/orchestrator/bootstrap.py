"""The composition root: the only place that builds pools, stores, workers and apps, and takes them down again."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, fields
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from orchestrator.api.changes import RunChanges
from orchestrator.api.commands import RunCommands, now
from orchestrator.api.explain import CacheExplainer
from orchestrator.artifacts.store import ArtifactStore
from orchestrator.artifacts.verify import verify_all
from orchestrator.cache.catalogue import CacheCatalogue
from orchestrator.cache.cold_tier import ColdTier
from orchestrator.cache.counts import CacheCounts
from orchestrator.cache.epochs import Epochs
from orchestrator.cache.flights import Flights
from orchestrator.cache.memory_tier import MemoryTier
from orchestrator.cache.step_cache import StepCache
from orchestrator.cache.tier import CacheTier
from orchestrator.domain.output import Output
from orchestrator.eventstore.committer import Committer
from orchestrator.eventstore.database import Database
from orchestrator.eventstore.embedded import EmbeddedPostgres, EmbeddedPostgresError
from orchestrator.eventstore.listener import Listener
from orchestrator.eventstore.log import PostgresLog
from orchestrator.eventstore.mapper import build_mapper
from orchestrator.eventstore.migrate import migrate
from orchestrator.eventstore.recorder import LogRecorder
from orchestrator.eventstore.runs import RunStore
from orchestrator.projections.audit import Auditor
from orchestrator.projections.chain import Chain, ChainKeeper
from orchestrator.projections.journal import tell
from orchestrator.projections.projector import Projector, Tell
from orchestrator.projections.reader import Reader
from orchestrator.projections.supervision import ReadModelSupervisor
from orchestrator.settings import Settings, SettingsError
from orchestrator.skills.http import close_http
from orchestrator.skills.registry import SkillRegistry
from orchestrator.skills.threads import DaemonThreads
from orchestrator.workers.claims import Claims
from orchestrator.workers.driver import Surroundings
from orchestrator.workers.executor import LocalExecutor, ReportStep, StepExecutor
from orchestrator.workers.processes import ProcessExecutor
from orchestrator.workers.worker import Worker, new_identity
from orchestrator.workflows.registry import WorkflowRegistry

if TYPE_CHECKING:
    from orchestrator.api.app import Api
    from orchestrator.cache.hot_tier import HotTier

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Core:
    """What every process needs: the database, the log on it, and the ways to ask and to read."""

    settings: Settings
    database: Database
    listener: Listener
    log: PostgresLog
    workflows: WorkflowRegistry
    runs: RunStore
    reader: Reader
    commands: RunCommands
    changes: RunChanges
    cache: CacheCatalogue
    cache_counts: CacheCounts
    explainer: CacheExplainer
    store: ArtifactStore


@dataclass(frozen=True, slots=True)
class OpenDatabase:
    """A database that is up to date. `revive` starts our own again if it crashed; there is none for others."""

    conninfo: str
    revive: Callable[[], None] | None = None


@contextmanager
def open_database(settings: Settings) -> Iterator[OpenDatabase]:
    """Yield a database that is up to date, our own one if none is configured.

    Raises:
        EmbeddedPostgresError: our own Postgres cannot be started.
        DatabaseUnavailable: the configured one cannot be reached.
        MigrationError: it cannot be brought up to date.
    """
    migrations = [files("orchestrator.eventstore") / "migrations"]
    if settings.database_url is not None:
        migrate(settings.database_url, migrations)
        yield OpenDatabase(settings.database_url)
        return
    with EmbeddedPostgres(settings.data_dir) as server:
        conninfo = server.conninfo()
        migrate(conninfo, migrations)

        def revive() -> None:
            try:
                if server.revive():
                    logger.warning("our own Postgres had crashed and was started again")
            except EmbeddedPostgresError:
                logger.exception("our own Postgres crashed and cannot be started again")

        yield OpenDatabase(conninfo, revive)


@contextmanager
def open_core(settings: Settings) -> Iterator[Core]:
    """Build the core on an open database and take it down at the end."""
    with open_database(settings) as opened:
        database = Database(
            opened.conninfo, pool_size=settings.pool_size, statement_timeout_ms=settings.statement_timeout_ms
        )
        key = settings.cipher_key
        mapper = build_mapper(compress=settings.compress, cipher_key=key.get_secret_value() if key else None)
        recorder = LogRecorder(database)
        committer = Committer(recorder)
        listener = Listener(opened.conninfo, opened.revive)
        listener.start()
        try:
            log = PostgresLog(recorder, mapper, committer)
            workflows = WorkflowRegistry(log, database)
            runs = RunStore(log, workflows.get)
            reader = Reader(database, runs, workflows.get)
            commands = RunCommands(database, runs, workflows)
            catalogue = CacheCatalogue(database, log)
            store = ArtifactStore(settings.artifact_url, settings.spill_bytes)
            yield Core(
                settings=settings,
                database=database,
                listener=listener,
                log=log,
                workflows=workflows,
                runs=runs,
                reader=reader,
                commands=commands,
                changes=RunChanges(
                    database=database,
                    runs=runs,
                    reader=reader,
                    workflows=workflows,
                    commands=commands,
                    check=Artifacts(store),
                ),
                cache=catalogue,
                cache_counts=CacheCounts(),
                explainer=CacheExplainer(database, runs, catalogue, Outputs(database, reader, store)),
                store=store,
            )
        finally:
            committer.close()
            listener.stop()
            database.close()


class Outputs:
    """Where drivers get results of other runs, and data too large for the log."""

    def __init__(self, database: Database, reader: Reader, store: ArtifactStore) -> None:
        self._database = database
        self._reader = reader
        self._store = store

    async def outputs(self, run_id: str, steps: Sequence[str]) -> Mapping[str, Output]:
        """Return the outputs of steps that a run completed."""
        return await self._database.ask(self._reader.outputs, run_id, steps)

    async def data(self, output: Output) -> Any:
        """Return an output's data, from the artifact store when the log holds only its hash."""
        return await asyncio.to_thread(self._store.load_data, output)


class Artifacts:
    """Says whether what a result refers to is still in the store."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store

    def fault(self, tenant: str, output: Output) -> str | None:  # noqa: ARG002 - stores may be per tenant
        """Return what is wrong with the first unusable artifact of an output, or None."""
        artifacts = [*output.artifacts, *([output.data_ref] if output.data_ref else [])]
        for artifact, reason in verify_all(self._store, artifacts):
            return f"artifact {artifact.filename or artifact.id}: {reason}"
        return None


@asynccontextmanager
async def open_cache(core: Core, worker: str) -> AsyncIterator[StepCache]:
    """Build the step cache of a worker: in the process, in Redis when it is configured, and in Postgres."""
    settings, loop, counts = core.settings, asyncio.get_running_loop(), core.cache_counts
    cold = ColdTier(core.database, worker)
    tiers: list[CacheTier] = [MemoryTier(settings.cache_memory_bytes)] if settings.cache_memory_bytes else []
    hot = None
    if settings.redis_url is not None:
        hot = build_hot_tier(settings.redis_url, settings.cache_ttl_seconds, settings.redis_timeout_ms, counts)
        tiers.append(hot)
    cache = StepCache(
        core.database,
        cold,
        Flights(core.listener, loop),
        Epochs(core.database, cold, core.listener, loop, counts),
        tiers=tiers,
        earlier=core.reader,
        check=Artifacts(core.store),
        counts=counts,
    )
    try:
        yield cache
    finally:
        await cache.close()
        if hot is not None:
            await hot.close()


def build_hot_tier(url: str, ttl_seconds: int, timeout_ms: int, counts: CacheCounts) -> "HotTier":
    """Return the tier in Redis.

    Raises:
        SettingsError: the package for it is not installed.
    """
    try:
        from orchestrator.cache.hot_tier import HotTier  # noqa: PLC0415 - needs the extra `redis`
    except ImportError as error:
        raise SettingsError(
            "ORCHESTRATOR_REDIS_URL is set but redis is not installed: pip install 'orchestrator[redis]'"
        ) from error
    return HotTier(url, ttl_seconds=ttl_seconds, timeout_seconds=timeout_ms / 1000, counts=counts)


def load_skills(settings: Settings) -> SkillRegistry:
    """Return the skills named by the settings, and those of installed packages."""
    registry = SkillRegistry()
    registry.load_entry_points()
    registry.load_modules(settings.skills)
    return registry


@asynccontextmanager
async def open_executor(
    settings: Settings, skills: SkillRegistry, store: ArtifactStore, on_progress: ReportStep | None = None
) -> AsyncIterator[StepExecutor]:
    """Build what runs skills: this process and its threads, or child processes."""
    try:
        if settings.executor == "thread":
            yield LocalExecutor(skills, store, DaemonThreads(), most_blocking=settings.threads, on_progress=on_progress)
            return
        children = ProcessExecutor(
            skills,
            store,
            sources=tuple(settings.skills),
            make_sink=partial(ArtifactStore, settings.artifact_url),
            size=settings.threads,
            grace_seconds=settings.shutdown_grace_seconds / 2,
        )
        try:
            yield children
        finally:
            await children.close()
    finally:
        await close_http()


@asynccontextmanager
async def open_worker(
    core: Core, skills: SkillRegistry, on_progress: ReportStep | None = None
) -> AsyncIterator[Worker]:
    """Run a worker on this loop; at the end it hands its runs over within the grace period."""
    settings = core.settings
    identity = new_identity(settings.lease_seconds)
    async with (
        open_cache(core, identity.id) as cache,
        open_executor(settings, skills, core.store, on_progress) as executor,
    ):
        around = Surroundings(
            worker=identity.id,
            runs=core.runs,
            executor=executor,
            cache=cache,
            source=Outputs(core.database, core.reader, core.store),
            clock=now,
        )
        worker = Worker(
            identity,
            around,
            Claims(core.database, core.log.mapper, core.runs, identity),
            core.listener,
            skills=skills.ids,
            most_runs=settings.max_runs,
            heartbeat_seconds=settings.heartbeat_seconds,
        )
        working = asyncio.create_task(worker.work())
        body = asyncio.current_task()
        # A worker that fails takes its process with it, rather than leaving one that only looks alive.
        working.add_done_callback(lambda _: None if worker.is_stopping or body is None else body.cancel())
        try:
            yield worker
        finally:
            await worker.stop(settings.shutdown_grace_seconds)
            with suppress(asyncio.CancelledError):
                await working


def build_api(core: Core) -> "Api":
    """Return the web application on the core."""
    # Only a process that serves HTTP waits for the web framework.
    from orchestrator.api.app import create_app  # noqa: PLC0415
    from orchestrator.api.services import Services  # noqa: PLC0415

    return create_app(Services(**{field.name: getattr(core, field.name) for field in fields(Services)}))


def build_projector(core: Core, on_news: Tell | None = None) -> Projector:
    """Return a projector that does not run yet."""
    return Projector(
        core.database,
        core.log,
        core.workflows.get,
        core.listener,
        batch_size=core.settings.projector_batch,
        tell=on_news,
    )


@contextmanager
def open_projector(core: Core) -> Iterator[Projector]:
    """Run a projector, which writes the journal, and the keeper of the chain, in threads of their own until the end."""
    projector = build_projector(core, tell)
    keeper = ChainKeeper(Chain(core.database, core.log.recorder), core.listener)
    projector.start()
    keeper.start()
    try:
        yield projector
    finally:
        keeper.stop()
        projector.stop()


def build_supervisor(core: Core) -> ReadModelSupervisor:
    """Return what rebuilds and compares the read models."""
    return ReadModelSupervisor(core.database, core.log, core.workflows.get)


def build_auditor(core: Core) -> Auditor:
    """Return what holds everything against the log."""
    return Auditor(core.database, core.log, core.workflows.get, Artifacts(core.store).fault)
