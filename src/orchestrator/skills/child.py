"""A program of a command skill: run to its end, and ended with all its descendants.

On Linux a keeper runs it (`kept`). Elsewhere it has a process group of its own (`grouped`), and what leaves the group
lives on.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from orchestrator.skills import grouped, kept
from orchestrator.skills.streams import Heard

# How long what a dead program left in its pipes is waited for, and how long until all that it started has been killed:
# a process that hangs in the kernel, or that belongs to another user, may stay for ever.
_DRAIN_SECONDS = 1.0
_KILL_SECONDS = 12.0


@dataclass(frozen=True, slots=True)
class Ending:
    """How a program ended: its exit code (negative: the signal), stdout, the end of stderr, too much stdout."""

    exit_code: int
    stdout: bytes
    stderr: bytes
    overflowed: bool


class _Child(Protocol):
    """A program that was started."""

    async def ended(self) -> int:
        """Return its exit code once it has ended; raises OSError when it could not be started."""
        ...

    def ask_to_stop(self) -> None:
        """Send SIGTERM to its process group."""
        ...

    def kill(self) -> None:
        """Kill it and what it started."""
        ...

    def close(self) -> None:
        """Stop listening to it."""
        ...


async def run_child(
    command: Sequence[str],
    *,
    stdin: bytes,
    folder: Path,
    env: Mapping[str, str],
    grace_seconds: float,
    max_stdout_bytes: int,
) -> Ending:
    """Run a program to its end. No shell is involved; `env` is all of its environment.

    When the caller is cancelled the program's process group gets SIGTERM and, as soon as the program itself is gone or
    after `grace_seconds`, the program and all that it started get SIGKILL. So does what it leaves running when it ends.

    Raises:
        OSError: the program cannot be started.
        asyncio.CancelledError: the caller was cancelled; the program and what it started are gone.
    """
    begin = kept.begin if kept.IS_AVAILABLE else grouped.begin
    heard = Heard(max_stdout_bytes)
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
    """End a program: first asked, then made to."""
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
