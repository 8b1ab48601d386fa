"""What the shell completes: runs, workflows and steps, from the server or the data directory that the words name.

It never starts a database, and it answers nothing rather than an error: the user has not finished the command.
"""

import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from orchestrator.application.calls import Calls

_SECONDS = 3.0
_MAX_RUNS = 20
_MIN_DIGITS = 4

Word = tuple[str, str]
"""A completion and its explanation."""


def complete_run(ctx: typer.Context, incomplete: str) -> list[Word]:
    """Return `@last` and the newest runs, or runs whose id begins with what was typed."""

    async def find(client: "Calls") -> list[Word]:
        digits = incomplete.replace("-", "")
        prefix = incomplete if len(digits) >= _MIN_DIGITS else None
        runs = (await client.run_page(id_prefix=prefix, limit=_MAX_RUNS))["runs"]
        return [(run["id"], f"{run['workflowName']} {run['status']} {run['createdAt']}") for run in runs]

    last = [("@last", "the newest run")]
    if incomplete.startswith("@"):
        return _beginning(incomplete, last)
    return _beginning(incomplete, [*([] if incomplete else last), *_asked(ctx, find)])


def complete_workflow(ctx: typer.Context, incomplete: str) -> list[Word]:
    """Return the names of the registered workflows."""

    async def find(client: "Calls") -> list[Word]:
        return [(each["workflowName"], each["description"]) for each in await client.workflows()]

    return _beginning(incomplete, _asked(ctx, find))


def complete_step(ctx: typer.Context, incomplete: str) -> list[Word]:
    """Return the steps of the run that was named before."""
    from orchestrator.cli.references import find_run, read_reference  # noqa: PLC0415

    run = ctx.params.get("run")

    async def find(client: "Calls") -> list[Word]:
        run_id = await find_run(client, read_reference(str(run)))
        return [(step["stepId"], f"{step['skillId']} {step['status']}") for step in await client.steps(run_id)]

    return [] if run is None else _beginning(incomplete, _asked(ctx, find))


def _beginning(incomplete: str, words: list[Word]) -> list[Word]:
    return [word for word in words if word[0].startswith(incomplete.lower()) or word[0].startswith(incomplete)]


def _asked(ctx: typer.Context, question: "Callable[[Calls], Coroutine[Any, Any, list[Word]]]") -> list[Word]:
    try:
        return _answer(ctx, question)
    except Exception:  # noqa: BLE001 - there is nobody to tell: the shell shows what it gets as completions
        return []


def _answer(ctx: typer.Context, question: "Callable[[Calls], Coroutine[Any, Any, list[Word]]]") -> list[Word]:
    import asyncio  # noqa: PLC0415 - only when the shell asks

    from orchestrator.cli.asking import ask  # noqa: PLC0415
    from orchestrator.cli.inputs import names_server, read_settings  # noqa: PLC0415
    from orchestrator.cli.options import Target  # noqa: PLC0415

    folder = ctx.params.get("data_dir")
    key = ctx.params.get("key")
    target = Target(
        None if folder is None else Path(folder), ctx.params.get("server"), key if isinstance(key, str) else None
    )
    if not names_server(target):
        settings = read_settings(need_data=True, data_dir=target.data_dir)
        if settings.database_url is None and not _is_running(settings.data_dir):
            return []
    logging.disable()  # a warning would stand in the middle of the command line

    async def in_time(client: "Calls") -> list[Word]:
        async with asyncio.timeout(_SECONDS):
            return await question(client)

    return ask(target, in_time)


def _is_running(data_dir: Path) -> bool:
    """Return whether the embedded Postgres of a data directory runs. To start one would take seconds."""
    from orchestrator.postgres.embedded.home import LOCATION_FILE  # noqa: PLC0415

    location = data_dir / LOCATION_FILE
    home = Path(location.read_text(encoding="utf-8").strip()) if location.exists() else data_dir
    return (home / "postgres" / "postmaster.pid").exists()
