"""A process that serves: its parts are opened one after the other and taken down in the opposite order."""

import asyncio
import ipaddress
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import uvicorn

from orchestrator.bootstrap.core import Core, open_core
from orchestrator.bootstrap.serving import build_api, build_probe
from orchestrator.bootstrap.showing import open_projector
from orchestrator.bootstrap.working import load_skills, open_worker
from orchestrator.cli.complaint import Complaint
from orchestrator.cli.definitions import find_definitions
from orchestrator.cli.inputs import read_settings
from orchestrator.cli.local import actor_name
from orchestrator.cli.logging import configure_logging
from orchestrator.cli.process import Stop, run_async
from orchestrator.cli.terminal import print_line
from orchestrator.domain.workflow import Workflow
from orchestrator.settings import Settings
from orchestrator.skills import SkillRegistry
from orchestrator.workflows import warnings

logger = logging.getLogger(__name__)

_BACKLOG = 2048
_API_GRACE_SECONDS = 3


@dataclass(frozen=True, slots=True)
class Parts:
    """What a process is to do."""

    api: bool = False
    worker: bool = False
    projector: bool = False


def serve(parts: Parts, **given: Any) -> None:
    """Serve until SIGINT or SIGTERM; `given` are settings that win over the environment."""
    settings = read_settings(**given)
    configure_logging(settings)
    run_async(_serve(settings, parts))


async def _serve(settings: Settings, parts: Parts) -> None:
    stop = Stop()
    # Whatever can be wrong with what the user gave is found before anything is started.
    definitions = find_definitions(settings.workflows, settings.max_attempts_bound)
    skills = load_skills(settings) if parts.worker else None
    async with AsyncExitStack() as stack:
        listening = stack.enter_context(listen(settings.host, settings.port)) if parts.api else None
        watched = None
        if listening is None and settings.metrics_port is not None:
            where = listen(settings.metrics_host, settings.metrics_port, option="--metrics-port", only_loopback=False)
            watched = stack.enter_context(where)
        core = stack.enter_context(open_core(settings))
        await _register(core, definitions, skills)
        ready = "projector"
        if parts.projector:
            stack.enter_context(open_projector(core))
        if skills is not None:
            worker = await stack.enter_async_context(open_worker(core, skills))
            ready = f"worker {worker.identity.id}"
        if listening is not None:
            app = build_api(core)
            await stack.enter_async_context(_answer(settings, app, listening, app.served.feed.close))
            ready = url(listening)
        elif watched is not None:
            await stack.enter_async_context(_answer(settings, build_probe(core), watched))
            logger.info("figures at %s/metrics", url(watched))
        print_line(f"ready {ready}")
        await stop.wait()
        logger.info("stopping", extra={"signal": stop.signal.name if stop.signal else None})


async def _register(core: Core, definitions: list[Workflow], skills: SkillRegistry | None) -> None:
    known = None if skills is None else set(skills.ids)
    for workflow in definitions:
        for doubt in warnings(workflow, known):
            logger.warning("workflow %s %s: %s", workflow.name, workflow.version, doubt)
        await core.workflows.register(workflow, tenant=core.settings.tenant, actor=actor_name())


@contextmanager
def listen(host: str, port: int, *, option: str = "--port", only_loopback: bool = True) -> Iterator[socket.socket]:
    """Yield a socket bound to an address; it takes connections once a server is put on it.

    Raises:
        Complaint: the address is not one of this machine's own loopback, is taken, or cannot be had.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise Complaint(f"The host {host!r} is unknown: {error.strerror}", "Use --host 127.0.0.1") from error
    family, kind, protocol, _, address = found[0]
    if only_loopback and not ipaddress.ip_address(address[0]).is_loopback:
        raise Complaint(
            f"Nobody has to log in here, so {host} is refused: others could run programs on this machine",
            "Use --host 127.0.0.1, behind a proxy that asks for credentials if others are to get in.",
        )
    with closing(socket.socket(family, kind, protocol)) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind(address)
        except OSError as error:
            raise Complaint(
                f"Port {port} of {host} cannot be used: {(error.strerror or str(error)).lower()}",
                f"Choose another with {option}; 0 takes a free one.",
            ) from error
        yield bound


def url(listening: socket.socket) -> str:
    """Return the address of a socket as a URL."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Server(uvicorn.Server):
    """Leaves the signals to us."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


@asynccontextmanager
async def _answer(
    settings: Settings, app: Any, listening: socket.socket, on_end: Callable[[], None] | None = None
) -> AsyncIterator[None]:
    """Serve an app on a socket; at the end requests under way are answered, for a while."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=settings.log_level == "debug",
        backlog=_BACKLOG,
        server_header=False,
        timeout_graceful_shutdown=_API_GRACE_SECONDS,
        ws="none",
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        while not server.started:
            if serving.done():
                serving.result()
                raise Complaint("The API did not start", "The lines above say why.")
            await asyncio.sleep(0.01)
        yield
    finally:
        if on_end is not None:
            on_end()
        server.should_exit = True
        with suppress(asyncio.CancelledError):
            await serving
