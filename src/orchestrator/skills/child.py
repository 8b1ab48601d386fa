"""Run the program of a command skill to its end, then end all its descendants.

On Linux a keeper runs the program (`kept`). On other systems the program has its own process group (`grouped`), and
processes that leave the group are not ended.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from orchestrator.skills import grouped, kept
from orchestrator.skills.logs import StepLog
from orchestrator.skills.streams import Heard

# How long to wait for the remaining output in the pipes of a program that ended, and for the processes that it started
# to be killed: a process that hangs in the kernel or belongs to another user may never end.
_DRAIN_SECONDS = 1.0
_KILL_SECONDS = 12.0


@dataclass(frozen=True, slots=True)
class Ending:
    """How a program ended.

    `exit_code` is negative if a signal ended the program, `stderr` is the end of stderr, and `overflowed` says whether
    stdout exceeded its limit.
    """

    exit_code: int
    stdout: bytes
    stderr: bytes
    overflowed: bool


class _Child(Protocol):
    """A running program."""

    async def ended(self) -> int:
        """Wait for the end and return the exit code; raise OSError if the program could not be started."""
        ...

    def ask_to_stop(self) -> None:
        """Send SIGTERM to the program's process group."""
        ...

    def kill(self) -> None:
        """Kill the program and all that it started."""
        ...

    def close(self) -> None:
        """Close the connections to the program."""
        ...


async def run_child(
    command: Sequence[str],
    *,
    stdin: bytes,
    folder: Path,
    env: Mapping[str, str],
    grace_seconds: float,
    max_stdout_bytes: int,
    log: StepLog | None = None,
) -> Ending:
    """Run a program to its end. No shell is involved; `env` is its complete environment, and `log` gets its output.

    When the caller is cancelled, the program's process group gets SIGTERM. As soon as the program itself has ended, or
    after `grace_seconds`, the program and all processes it started get SIGKILL. Processes that are still running when
    the program ends normally get SIGKILL as well.

    Raises:
        OSError: the program cannot be started.
        asyncio.CancelledError: the caller was cancelled; the program and the processes it started have ended.
    """
    begin = kept.begin if kept.IS_AVAILABLE else grouped.begin
    heard = Heard(max_stdout_bytes, log)
    child: _Child = await begin(command, stdin, folder, env, heard)
    heard.on_overflow = child.kill
    try:
        exit_code = await child.ended()
        with suppress(TimeoutError):
            await asyncio.wait_for(heard.everything.wait(), _DRAIN_SECONDS)
    except BaseException:
        await _stop(child, grace_seconds)
        raise
    finally:
        child.close()
    return Ending(exit_code, bytes(heard.stdout), bytes(heard.stderr), heard.overflowed)


async def _stop(child: _Child, grace_seconds: float) -> None:
    """Ask a program to stop, and kill it after the grace period."""
    with suppress(OSError):
        try:
            child.ask_to_stop()
            await asyncio.wait_for(child.ended(), grace_seconds)
        except TimeoutError:
            child.kill()
            with suppress(TimeoutError):
                await asyncio.wait_for(child.ended(), _KILL_SECONDS)
        finally:
            child.kill()
