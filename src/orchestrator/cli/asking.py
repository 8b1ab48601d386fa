"""Whom a verb asks: the database itself, or a server. Both take the same calls (`Calls`, `AsyncClient`)."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from orchestrator.cli.complaint import Complaint
from orchestrator.cli.inputs import names_server, read_settings
from orchestrator.cli.logging import configure_logging
from orchestrator.cli.options import Target
from orchestrator.cli.process import run_async
from orchestrator.settings import Settings

if TYPE_CHECKING:
    from orchestrator.application.calls import Calls
    from orchestrator.application.core import Core

T = TypeVar("T")

_APPEND_SECONDS = 10.0


def ask(target: Target, question: "Callable[[Calls], Coroutine[Any, Any, T]]", *, need_data: bool = True) -> T:
    """Ask a server, or the data directory here, and return the answer.

    Raises:
        Complaint: it is unclear whom to ask; or there is no data yet, and `need_data`.
    """
    if names_server(target):
        settings = read_settings(server=target.server, key=target.key)
        return _asked(settings, open_server(settings), question)
    return ask_here(target.data_dir, question, need_data=need_data)


def ask_here(
    data_dir: Path | None, question: "Callable[[Calls], Coroutine[Any, Any, T]]", *, need_data: bool = True
) -> T:
    """Ask the data directory here, also for what no server is asked, and return the answer.

    Raises:
        Complaint: there is no data yet, or the settings name a server.
    """
    settings = read_settings(need_data=need_data, data_dir=data_dir)
    return _asked(settings, open_here(settings), question)


def _asked(
    settings: Settings,
    opened: "AbstractAsyncContextManager[Calls]",
    question: "Callable[[Calls], Coroutine[Any, Any, T]]",
) -> T:
    configure_logging(settings, quiet=True)

    async def asked() -> T:
        async with opened as calls:
            return await question(calls)

    return run_async(asked())


@asynccontextmanager
async def open_server(settings: Settings) -> "AsyncIterator[Calls]":
    """Yield the calls of a server.

    Raises:
        Complaint: its address or the key cannot be one.
    """
    from orchestrator.client import AsyncClient  # noqa: PLC0415 - only who asks a server needs it

    key = None if settings.key is None else settings.key.get_secret_value()
    try:
        client = AsyncClient(settings.server or "", key=key)
    except ValueError as error:
        raise Complaint(f"Invalid server: {error}", "See --server and --key.") from None
    async with client:
        yield cast("Calls", client)  # a test holds their signatures against each other


@asynccontextmanager
async def open_here(settings: Settings) -> "AsyncIterator[Calls]":
    """Yield the calls on the settings' database, our own Postgres started when it does not run."""
    from orchestrator.bootstrap.core import open_core  # noqa: PLC0415 - who asks a server needs no database

    with open_core(settings, max_wait_seconds=_APPEND_SECONDS) as core:
        yield calls_here(core)


def calls_here(core: "Core") -> "Calls":
    """Return the calls of whoever is at this terminal."""
    from orchestrator.application.caller import Caller  # noqa: PLC0415
    from orchestrator.application.calls import Calls  # noqa: PLC0415
    from orchestrator.bootstrap.showing import build_projector  # noqa: PLC0415
    from orchestrator.cli.actor import actor_name  # noqa: PLC0415

    return Calls(core, Caller(core.settings.tenant, actor_name()), build_projector(core).project_batch)
