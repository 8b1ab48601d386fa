"""Run a command's calls on the local database or on a server. Both have the same interface (`Calls`, `AsyncClient`)."""

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from orchestrator.cli.complaint import Complaint
from orchestrator.cli.inputs import names_server, read_settings
from orchestrator.cli.logging import configure_logging
from orchestrator.cli.options import Target
from orchestrator.cli.process import run_async
from orchestrator.cli.references import find_run, is_id, read_reference
from orchestrator.settings import Settings

if TYPE_CHECKING:
    from orchestrator.application.calls import Calls
    from orchestrator.application.core import Core

T = TypeVar("T")

_APPEND_SECONDS = 10.0


def ask(target: Target, question: "Callable[[Calls], Coroutine[Any, Any, T]]", *, need_data: bool = True) -> T:
    """Call a server or the local database, and return the result.

    Raises:
        Complaint: the target is ambiguous, or `need_data` is set and there is no data yet.
    """
    if names_server(target):
        settings = read_settings(server=target.server, key=target.key)
        return _run_calls(settings, open_server(settings), question)
    return ask_here(target.data_dir, question, need_data=need_data)


def ask_here(
    data_dir: Path | None, question: "Callable[[Calls], Coroutine[Any, Any, T]]", *, need_data: bool = True
) -> T:
    """Call the local database, also for what no server offers, and return the result.

    Raises:
        Complaint: `need_data` is set, and there is no data yet or the settings name only a server.
    """
    settings = read_settings(need_data=need_data, data_dir=data_dir)
    return _run_calls(settings, open_here(settings), question)


def ask_about(target: Target, run: str, question: "Callable[[Calls, str], Coroutine[Any, Any, T]]") -> tuple[str, T]:
    """Find a run (see `read_reference`), ask about it as `ask` does, and return its id and the result.

    Raises:
        Complaint: the reference is invalid, or no run or several runs match it.
    """
    reference = read_reference(run)

    async def find_and_ask(calls: "Calls") -> tuple[str, T]:
        run_id = await find_run(calls, reference)
        return run_id, await question(calls, run_id)

    return ask(target, find_and_ask)


def ask_about_all(
    target: Target, runs: Sequence[str], question: "Callable[[Calls, list[str]], Coroutine[Any, Any, T]]"
) -> T:
    """Find runs, each named once, ask about them as `ask` does, and return the result.

    Raises:
        Complaint: a reference is invalid, or no run or several runs match it.
    """
    references = [read_reference(run) for run in runs]

    async def find_and_ask(calls: "Calls") -> T:
        found = [await find_run(calls, reference) for reference in references]
        return await question(calls, list(dict.fromkeys(found)))

    return ask(target, find_and_ask)


def find_runs_here(data_dir: Path | None, *runs: str) -> list[str]:
    """Return the ids of runs in the local database. Complete ids are returned as they are, without opening it.

    Raises:
        Complaint: a reference is invalid, or no run or several runs match it.
    """
    references = [read_reference(run) for run in runs]
    if all(is_id(reference) for reference in references):
        return references

    async def find_all(calls: "Calls") -> list[str]:
        return [await find_run(calls, reference) for reference in references]

    return ask_here(data_dir, find_all)


def _run_calls(
    settings: Settings,
    opened: "AbstractAsyncContextManager[Calls]",
    question: "Callable[[Calls], Coroutine[Any, Any, T]]",
) -> T:
    configure_logging(settings, quiet=True)

    async def run() -> T:
        async with opened as calls:
            return await question(calls)

    return run_async(run())


@asynccontextmanager
async def open_server(settings: Settings) -> "AsyncIterator[Calls]":
    """Yield the calls of a server.

    Raises:
        Complaint: its address or the key is invalid.
    """
    from orchestrator.client import AsyncClient  # noqa: PLC0415 - only needed for a server

    key = None if settings.key is None else settings.key.get_secret_value()
    try:
        client = AsyncClient(settings.server or "", key=key)
    except ValueError as error:
        raise Complaint(f"Invalid server: {error}", "Check --server and --key.") from None
    async with client:
        yield cast("Calls", client)  # a test compares the signatures of both


@asynccontextmanager
async def open_here(settings: Settings) -> "AsyncIterator[Calls]":
    """Yield the calls on the configured database. The embedded Postgres is started if it does not run."""
    from orchestrator.bootstrap.core import open_core  # noqa: PLC0415 - not needed for a server

    with open_core(settings, max_wait_seconds=_APPEND_SECONDS) as core:
        yield calls_here(core)


def calls_here(core: "Core") -> "Calls":
    """Return the calls on a database, made in the name of this process's user."""
    from orchestrator.application.caller import Caller  # noqa: PLC0415
    from orchestrator.application.calls import Calls  # noqa: PLC0415
    from orchestrator.bootstrap.showing import build_projector  # noqa: PLC0415
    from orchestrator.cli.actor import actor_name  # noqa: PLC0415

    return Calls(core, Caller(core.settings.tenant, actor_name()), build_projector(core).project_batch)
