"""A process that serves: its parts are opened in order and closed in reverse order."""

import asyncio
import gc
import ipaddress
import logging
import socket
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from orchestrator.application.core import Core
from orchestrator.bootstrap.core import open_core
from orchestrator.bootstrap.grants import LOG, PROJECTOR, WORKER, check_grants
from orchestrator.bootstrap.showing import open_projector
from orchestrator.bootstrap.working import check_declared_secrets, load_skills
from orchestrator.cli.actor import actor_name
from orchestrator.cli.complaint import Complaint
from orchestrator.cli.definitions import find_definitions
from orchestrator.cli.inputs import read_settings
from orchestrator.cli.logging import configure_logging
from orchestrator.cli.output.log_lines import show_printed
from orchestrator.cli.output.terminal import print_line
from orchestrator.cli.process import Stop, hide_secrets, run_async
from orchestrator.cli.serving.worker_slot import WorkerSlot
from orchestrator.domain.workflow import Workflow
from orchestrator.settings import Settings
from orchestrator.skills import SkillRegistry
from orchestrator.workflows.validate import warnings

logger = logging.getLogger(__name__)

_UNACKNOWLEDGED_MILLISECONDS = 60_000
_UNRESPONSIVE_SECONDS = 5.0
"""How long an unresponsive database may delay the end of the process after the grace period."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts that a process runs.

    `development` accepts definitions that changed under the same version. `reloads` loads skills and definitions again
    when their files change.
    """

    api: bool = False
    worker: bool = False
    projector: bool = False
    migrates: bool = False
    development: bool = False
    reloads: bool = False


def serve(parts: Parts, **given: Any) -> None:
    """Serve until SIGINT or SIGTERM. `given` are settings that override the environment."""
    settings = read_settings(**given)
    configure_logging(settings)
    hide_secrets()
    run_async(_serve(settings, parts))


async def _serve(settings: Settings, parts: Parts) -> None:
    stop = Stop(settings.shutdown_grace_seconds)
    # Find errors in the user's files and settings before anything is started.
    definitions = find_definitions(settings.workflows, settings.max_attempts_bound)
    skills = load_skills(settings, develops=parts.development) if parts.worker else None
    if skills is not None:
        check_declared_secrets(settings, skills)
    async with AsyncExitStack() as stack:
        listening = None
        if parts.api:
            where = listen(settings.host, settings.port, only_loopback=not settings.auth)
            listening = stack.enter_context(where)
        metrics_socket = None
        if listening is None and settings.metrics_port is not None:
            where = listen(settings.metrics_host, settings.metrics_port, option="--metrics-port", only_loopback=False)
            metrics_socket = stack.enter_context(where)
        core = stack.enter_context(open_core(settings, migrates=parts.migrates))
        needed = (LOG, *([WORKER] if parts.worker else []), *([PROJECTOR] if parts.projector else []))
        await core.database.call(check_grants, core.database, *needed)
        await _register(core, definitions, skills, development=parts.development)
        ready, slot = "projector", None
        if parts.projector:
            stack.enter_context(open_projector(core))
        if skills is not None:
            on_printed = show_printed if parts.api else None  # `dev`: its user watches the terminal
            slot = await stack.enter_async_context(WorkerSlot(core, on_printed))
            worker = await slot.put(skills)
            ready = f"worker {worker.identity.id}"
        if listening is not None:
            # The worker is running by now, so runs continue after a crash while the slow web framework is imported.
            answer = await asyncio.to_thread(_load_endpoint)
            await stack.enter_async_context(answer(core, listening, api=True))
            ready = url(listening)
            if not settings.auth:
                logger.info("authentication is off: only this machine can connect, and all its users are admins")
        elif metrics_socket is not None:
            answer = await asyncio.to_thread(_load_endpoint)
            await stack.enter_async_context(answer(core, metrics_socket, api=False))
            logger.info("metrics at %s/metrics", url(metrics_socket))
        # Exclude the hundred thousand objects that are loaded by now from garbage collection: to scan them again and
        # again under traffic would pause every request for 35 ms or more.
        gc.freeze()
        print_line(f"ready {ready}")
        if parts.reloads and slot is not None:
            await _reload_until(stop, core, slot, skills)
        else:
            await stop.wait()
        logger.info("stopping", extra={"signal": stop.signal.name if stop.signal else None})
        core.database.end_waits(settings.shutdown_grace_seconds + _UNRESPONSIVE_SECONDS)


async def _reload_until(stop: Stop, core: Core, slot: WorkerSlot, skills: SkillRegistry | None) -> None:
    """Load skills and definitions again when their files change, until the process is to stop."""
    from orchestrator.cli.serving.reload import Reloader  # noqa: PLC0415 - only for `dev --reload`

    known = skills

    async def use(loaded: SkillRegistry | None, definitions: list[Workflow]) -> None:
        nonlocal known
        known = loaded or known
        await _register(core, definitions, known, development=True)
        if loaded is not None:
            await slot.put(loaded)

    await Reloader(core.settings, use).watch(stop.wait())


class _Endpoint(Protocol):
    """Serves the API, or only the metrics of a process, on a socket."""

    def __call__(self, core: Core, listening: socket.socket, *, api: bool) -> AbstractAsyncContextManager[None]: ...


def _load_endpoint() -> _Endpoint:
    from orchestrator.cli.serving.endpoint import answer  # noqa: PLC0415 - see `_serve`

    return answer


async def _register(
    core: Core, definitions: list[Workflow], skills: SkillRegistry | None, *, development: bool
) -> None:
    known = None if skills is None else set(skills.ids)
    tenant, actor = core.settings.tenant, actor_name()
    for workflow in definitions:
        for warning in warnings(workflow, known):
            logger.warning("workflow %s %s: %s", workflow.name, workflow.version, warning)
        if not development:
            await core.workflows.register(workflow, tenant=tenant, actor=actor)
            continue
        registered = await core.workflows.register_development(workflow, tenant=tenant, actor=actor)
        if registered.version != workflow.version:
            what = (workflow.name, workflow.version, registered.version)
            logger.info("workflow %s %s has changed: registered as %s", *what)


@contextmanager
def listen(host: str, port: int, *, option: str = "--port", only_loopback: bool = True) -> Iterator[socket.socket]:
    """Yield a socket bound to an address. It accepts connections once a server listens on it.

    Raises:
        Complaint: the host is unknown, the address is unavailable, or it is not a loopback address and `only_loopback`
            is set.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise Complaint(f"Unknown host {host!r}: {error.strerror}", "Use --host 127.0.0.1.") from error
    family, kind, protocol, _, address = found[0]
    if only_loopback and not ipaddress.ip_address(address[0]).is_loopback:
        raise Complaint(
            f"Refusing to listen on {host} without authentication: other machines could run programs on this one",
            "Set ORCHESTRATOR_AUTH=keys and create keys with `orchestrator keys create`, or use --host 127.0.0.1.",
        )
    with closing(socket.socket(family, kind, protocol)) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # inherited by connections: drop a peer that acknowledges nothing
            bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MILLISECONDS)
        try:
            bound.bind(address)
        except OSError as error:
            raise Complaint(
                f"Cannot listen on port {port} of {host}: {(error.strerror or str(error)).lower()}",
                f"Choose another port with {option}; 0 picks a free one.",
            ) from error
        yield bound


def url(listening: socket.socket) -> str:
    """Return the address of a socket as a URL."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
