"""Waiting for runs: progress on stderr, and an exit code that says how they ended."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.cli.output.terminal import between, counted, duration, print_error
from orchestrator.cli.output.watch import load_progress, watch

if TYPE_CHECKING:
    from orchestrator.application.calls import Calls

TIMED_OUT = 124
"""Exit code when the time is up, as that of the command `timeout`."""

_EXIT_CODES = {"completed": 0, "failed": 1, "cancelled": 130}
_AT_ONCE = 16
"""How many runs are followed at the same time. The others are looked at when one of these has ended."""

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Waited:
    """The runs that were waited for, as they are now, and whether the time was up before all had ended."""

    runs: Sequence[Document]
    timed_out: bool = False

    @property
    def exit_code(self) -> int:
        """0 if all completed, 1 if one failed, 130 if one was cancelled and none failed, 124 when the time was up."""
        if self.timed_out:
            return TIMED_OUT
        statuses = {run["status"] for run in self.runs}
        return next((_EXIT_CODES[status] for status in ("failed", "cancelled") if status in statuses), 0)


async def wait_for(client: "Calls", run_ids: Sequence[str], *, timeout_seconds: float | None = None) -> Waited:
    """Wait until runs have ended. One run is shown step by step, several with a line for each that ends.

    Raises:
        RunNotFound: a run does not exist.
    """
    try:
        async with asyncio.timeout(timeout_seconds):
            if len(run_ids) == 1:
                await watch(client, await load_progress(client, run_ids[0]))
            else:
                await _follow_all(client, run_ids)
    except TimeoutError:
        runs = [await client.run(run_id) for run_id in run_ids]
        open_runs = [run for run in runs if run["status"] not in _EXIT_CODES]
        for run in open_runs:
            print_error(f"run {run['id']} is still {run['status']}")
        return Waited(runs, timed_out=bool(open_runs))
    return Waited([await client.run(run_id) for run_id in run_ids])


async def _follow_all(client: "Calls", run_ids: Sequence[str]) -> None:
    slots, ended = asyncio.Semaphore(_AT_ONCE), 0

    async def follow(run_id: str) -> None:
        nonlocal ended
        async with slots:
            run = await client.run(run_id)
            if run["status"] not in _EXIT_CODES:
                await _see_end(client, run_id)
                run = await client.run(run_id)
        ended += 1
        took = duration(between(run["startedAt"], run["completedAt"]))
        why = f": {run['error']['code']}: {run['error']['message']}" if run["error"] else ""
        after = f" after {took}" if took else ""
        print_error(f"run {run_id} {run['status']}{after}{why} ({ended} of {len(run_ids)})")

    print_error(f"waiting for {counted(len(run_ids), 'run')}")
    try:
        async with asyncio.TaskGroup() as group:
            for run_id in run_ids:
                group.create_task(follow(run_id))
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None


async def _see_end(client: "Calls", run_id: str) -> None:
    async with aclosing(client.events(run_id)) as events:
        async for event in events:
            if event["type"] == "RunBlocked":
                print_error(f"run {run_id} is blocked: no worker knows {', '.join(event['data']['skills'])}")


async def warn_without_worker(client: "Calls", runs: int = 1) -> None:
    """Say on stderr when no worker is alive, so that nobody wonders why nothing happens.

    A key that may not ask for the whole installation gets no warning.
    """
    from orchestrator.client import ClientError  # noqa: PLC0415 - only a server raises it

    with suppress(ClientError):
        if not (await client.queues())["workers"]:
            what = "the run waits" if runs == 1 else f"the {runs:,} runs wait"
            print_error(f"no worker is running: {what} until one starts, for example with `orchestrator worker`")


async def accepted_run(
    client: "Calls", accepted: Document, *, wait: bool, on_accepted: Callable[[Document], None]
) -> Waited | None:
    """Report a run that was just accepted, say if no worker is alive, and with `wait` show the run until it ends."""
    on_accepted(accepted)
    await warn_without_worker(client)
    return await wait_for(client, [accepted["runId"]]) if wait else None
