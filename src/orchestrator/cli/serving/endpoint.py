"""HTTP on a socket. Separate from `server` because the web framework is slow to import."""

import asyncio
import ipaddress
import logging
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import uvicorn

from orchestrator.application.core import Core
from orchestrator.bootstrap.serving import build_api, build_probe
from orchestrator.cli.complaint import Complaint
from orchestrator.cli.serving.connections import Connections
from orchestrator.cli.serving.protocol import bounded

if sys.platform != "win32":
    import resource

logger = logging.getLogger(__name__)

_BACKLOG = 2048
_OTHER_FILES = 128
_API_GRACE_SECONDS = 3


class _Server(uvicorn.Server):
    """A uvicorn server that leaves signals to this program."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture no signals."""
        yield


def is_local(listening: socket.socket) -> bool:
    """Return whether a socket listens on a loopback address."""
    return ipaddress.ip_address(listening.getsockname()[0]).is_loopback


def max_connections(wanted: int) -> int:
    """Return how many connections this process can hold, up to `wanted`.

    Each connection needs a file descriptor, and the rest of the process needs some as well.
    """
    if sys.platform == "win32":
        return wanted
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files == resource.RLIM_INFINITY or wanted <= files - _OTHER_FILES:
        return wanted
    most = max(1, files - _OTHER_FILES, files // 2)
    logger.info("connection limit lowered to %d: the process may open only %d files (ulimit -n)", most, files)
    return most


@asynccontextmanager
async def answer(core: Core, listening: socket.socket, *, api: bool) -> AsyncIterator[None]:
    """Serve the API, or only the metrics of this process, on a socket.

    On exit, requests in progress have 3 seconds to finish.

    Raises:
        Complaint: the server did not start.
    """
    served = build_api(core) if api else None
    config = uvicorn.Config(
        build_probe(core, only_local=is_local(listening)) if served is None else served,
        log_config=None,
        access_log=core.settings.log_level == "debug",
        backlog=_BACKLOG,
        server_header=False,
        timeout_graceful_shutdown=_API_GRACE_SECONDS,
        http=bounded(Connections(max_connections(core.settings.max_connections))),
        ws="none",
        forwarded_allow_ips=list(core.settings.trusted_proxies),
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        while not server.started:
            if serving.done():
                serving.result()
                raise Complaint("The HTTP server did not start", "The log above says why.")
            await asyncio.sleep(0.01)
        yield
    finally:
        if served is not None:
            served.served.close()
        server.should_exit = True
        with suppress(asyncio.CancelledError):
            await serving
        if served is not None:
            await served.served.authenticator.close()
