"""Build a worker: its skills, its executor and its step cache."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from orchestrator.application.clock import now
from orchestrator.application.core import Core
from orchestrator.artifacts.store import ArtifactStore
from orchestrator.bootstrap.configured import package_of
from orchestrator.bootstrap.core import Outputs, StoredArtifacts
from orchestrator.cache.code_history import CodeHistory
from orchestrator.cache.cold_tier import ColdTier
from orchestrator.cache.counts import CacheCounts
from orchestrator.cache.epochs import Epochs
from orchestrator.cache.flights import Flights
from orchestrator.cache.memory_tier import MemoryTier
from orchestrator.cache.step_cache import StepCache
from orchestrator.cache.tier import CacheTier
from orchestrator.settings import Settings
from orchestrator.skills.code import codes_of
from orchestrator.skills.connections import close_connections
from orchestrator.skills.declared_secrets import check_secrets
from orchestrator.skills.nursery import close_nursery
from orchestrator.skills.registry import SkillRegistry
from orchestrator.skills.secrets import Secrets
from orchestrator.skills.standard_streams import step_streams
from orchestrator.skills.threads import DaemonThreads
from orchestrator.workers.claims import Claims
from orchestrator.workers.dispatcher import Dispatcher
from orchestrator.workers.executor import LocalExecutor, OpenLog, ReportStep, StepExecutor, unlogged
from orchestrator.workers.logs import LogWriter, OnPrinted
from orchestrator.workers.processes import ProcessExecutor
from orchestrator.workers.progress import ProgressWriter
from orchestrator.workers.services import WorkerServices
from orchestrator.workers.watchdog import Watchdog
from orchestrator.workers.worker import Worker, new_identity

_LOGS_END_SECONDS = 5.0

if TYPE_CHECKING:
    from orchestrator.cache.hot_tier import HotTier

logger = logging.getLogger(__name__)

_MAX_NAMED = 5
"""How many skills a warning names."""

_CHECK_SECONDS = 2.0
"""How long a worker that stops waits for the check of its skills' code."""


@asynccontextmanager
async def open_cache(core: Core, worker: str) -> AsyncIterator[StepCache]:
    """Open the step cache of a worker: in memory, in Redis if configured, and in Postgres."""
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
        check=StoredArtifacts(core.store),
        counts=counts,
    )
    try:
        yield cache
    finally:
        await cache.close()
        cold.close()
        if hot is not None:
            await hot.close()


def build_hot_tier(url: str, ttl_seconds: int, timeout_ms: int, counts: CacheCounts) -> "HotTier":
    """Return the Redis tier.

    Raises:
        SettingsError: the Redis package is not installed.
    """
    with package_of("REDIS_URL", "redis"):
        from orchestrator.cache.hot_tier import HotTier  # noqa: PLC0415 - needs the extra `redis`
    return HotTier(url, ttl_seconds=ttl_seconds, timeout_seconds=timeout_ms / 1000, counts=counts)


def load_skills(settings: Settings, *, develops: bool = False) -> SkillRegistry:
    """Return the skills from the settings and from installed packages.

    Args:
        settings: the settings.
        develops: whether, by default, the code of a skill is part of its version, so that a change is seen at once.
    """
    registry = SkillRegistry()
    registry.load_entry_points()
    registry.load_modules(settings.skills)
    if (settings.skill_fingerprint or ("version" if develops else "warn")) == "version":
        registry.stamp(codes_of(registry))
    return registry


def build_secrets(settings: Settings) -> Secrets:
    """Return where skills get secrets: the environment at start, a folder of files, and installed providers."""
    return Secrets(settings.secret_variables, settings.secrets_dir)


def check_declared_secrets(settings: Settings, skills: SkillRegistry) -> None:
    """Check that every secret that HTTP and command skills declare can be read.

    Raises:
        MissingSecrets: some cannot; there is one line for each, with the skill, the field and the secret.
    """
    check_secrets(skills, build_secrets(settings))


@asynccontextmanager
async def open_executor(
    settings: Settings,
    skills: SkillRegistry,
    store: ArtifactStore,
    on_progress: ReportStep | None = None,
    open_log: OpenLog = unlogged,
) -> AsyncIterator[StepExecutor]:
    """Open the executor of skills: in this process and its threads, or in child processes."""
    secrets = build_secrets(settings)
    try:
        if settings.executor == "thread":
            yield LocalExecutor(
                skills,
                store,
                DaemonThreads(),
                max_blocking=settings.threads,
                on_progress=on_progress,
                secrets=secrets,
                open_log=open_log,
            )
            return
        children = ProcessExecutor(
            skills,
            store,
            sources=tuple(settings.skills),
            make_sink=partial(ArtifactStore, settings.artifact_url),
            size=settings.threads,
            grace_seconds=settings.shutdown_grace_seconds / 2,
            on_progress=on_progress,
            secrets=secrets,
            open_log=open_log,
        )
        try:
            yield children
        finally:
            await children.close()
    finally:
        close_nursery()
        await close_connections()


@contextmanager
def open_watchdog(core: Core, worker: Worker | None) -> Iterator[None]:
    """Watch the event loop of this process, and end the process if the loop is blocked for too long."""
    settings = core.settings
    watchdog = Watchdog(
        None if worker is None else worker.keep_lease,
        pause_seconds=settings.heartbeat_seconds,
        stall_seconds=settings.stall_seconds,
        on_restart=core.metrics.duty_restarted,
    )
    watchdog.start()
    try:
        yield
    finally:
        watchdog.stop()


@asynccontextmanager
async def open_progress(core: Core) -> AsyncIterator[ReportStep]:
    """Yield a callback that records the progress of attempts in the database."""
    writer = ProgressWriter(core.database, asyncio.get_running_loop())
    try:
        yield writer.report
    finally:
        await writer.close()


async def check_code(core: Core, skills: SkillRegistry) -> None:
    """Record the code of the skills, and warn about those that changed, have the same version and cached results.

    If it cannot be recorded, that is logged: a worker needs it only for this warning.
    """
    if core.settings.skill_fingerprint == "off" or skills.is_stamped:
        return
    try:
        codes = await asyncio.to_thread(codes_of, skills)
        labels = {f"{skill_id}@{skills.get(skill_id).version}": code for skill_id, code in codes.items()}
        changed = await core.database.call(CodeHistory(core.database).record, labels, now())
    except Exception as error:  # noqa: BLE001 - it must not end the worker
        logger.warning("code of skills not recorded: %r", error)
        return
    if changed:
        more = f" and {len(changed) - _MAX_NAMED} more" if len(changed) > _MAX_NAMED else ""
        logger.warning(
            "code changed, but the version did not, and cached results of the earlier code are used: %s%s; change "
            "the version, or invalidate the results with `orchestrator cache invalidate`",
            ", ".join(changed[:_MAX_NAMED]),
            more,
        )


@asynccontextmanager
async def _checking_code(core: Core, skills: SkillRegistry) -> AsyncIterator[None]:
    checking = asyncio.create_task(check_code(core, skills))
    try:
        yield
    finally:
        await asyncio.wait({checking}, timeout=_CHECK_SECONDS)  # a short run may end first
        checking.cancel()
        with suppress(asyncio.CancelledError):
            await checking


@asynccontextmanager
async def open_logs(core: Core, on_printed: OnPrinted | None = None) -> AsyncIterator[OpenLog]:
    """Keep what skills print; yield the function that opens the log of an attempt. At the end, write what is left."""
    writer = LogWriter(
        core.database,
        core.store,
        max_bytes=core.settings.step_log_bytes,
        counts=core.metrics,
        on_printed=on_printed,
        on_restart=core.metrics.duty_restarted,
    )
    try:
        with step_streams():
            yield writer.open
    finally:
        await asyncio.to_thread(writer.close, _LOGS_END_SECONDS)


@asynccontextmanager
async def open_dispatcher(core: Core) -> AsyncIterator[Dispatcher]:
    """Open what submits attempts to the configured executors and awaits their results."""
    executors = dict(each.split("=", 1) for each in core.settings.executors)
    dispatcher = Dispatcher(
        core.database,
        executors,
        core.listener,
        lease_seconds=core.settings.lease_seconds,
        on_restart=core.metrics.duty_restarted,
    )
    try:
        yield dispatcher
    finally:
        await dispatcher.close()


@asynccontextmanager
async def open_worker(core: Core, skills: SkillRegistry, on_printed: OnPrinted | None = None) -> AsyncIterator[Worker]:
    """Run a worker on this event loop. At the end, it releases its runs within the grace period.

    `on_printed` is called for each line that a skill prints.
    """
    settings = core.settings
    identity = new_identity(settings.lease_seconds)
    async with (
        open_cache(core, identity.id) as cache,
        open_progress(core) as report,
        open_logs(core, on_printed) as open_log,
        open_executor(settings, skills, core.store, report, open_log) as executor,
        open_dispatcher(core) as dispatcher,
    ):
        services = WorkerServices(
            worker=identity.id,
            runs=core.runs,
            executor=executor,
            cache=cache,
            source=Outputs(core.database, core.reader, core.store),
            clock=now,
            tracing=core.tracing,
            dispatcher=dispatcher,
        )
        worker = Worker(
            identity,
            services,
            Claims(core.database, core.log.mapper, core.runs, identity),
            core.listener,
            asyncio.get_running_loop(),
            skills=(*skills.ids, *dispatcher.abilities),
            max_runs=settings.max_runs,
            heartbeat_seconds=settings.heartbeat_seconds,
            on_restart=core.metrics.duty_restarted,
        )
        working = asyncio.create_task(worker.work())
        body = asyncio.current_task()
        # If the worker fails, cancel this task too, so that the process ends instead of only looking alive.
        working.add_done_callback(lambda _: None if worker.is_stopping or body is None else body.cancel())
        try:
            async with _checking_code(core, skills):
                with core.local_workers.announced(worker, skills.ids):
                    yield worker
        finally:
            await worker.stop(settings.shutdown_grace_seconds)
            with suppress(asyncio.CancelledError):
                await working
