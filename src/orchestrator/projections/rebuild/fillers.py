"""The processes that fill the new table of a rebuild, and the errors they report."""

import multiprocessing
import time
from contextlib import suppress
from multiprocessing.connection import Connection as Pipe
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Self

from orchestrator.projections.read_models.contract import ReadModel
from orchestrator.projections.rebuild.filling import OpenSource, fill_in_child

_END_SECONDS = 5.0


class Fillers:
    """Processes that work until nothing is left to fill; those still running at the end are killed."""

    def __init__(self, open_source: OpenSource | None = None, model: ReadModel | None = None, count: int = 0) -> None:
        # Each process is a new interpreter: this one may have threads, and forking a process with threads is unsafe.
        context = multiprocessing.get_context("spawn")
        self._children: dict[BaseProcess, Pipe] = {}
        for number in range(count):
            receiver, sender = context.Pipe(duplex=False)
            child = context.Process(
                target=fill_in_child, args=(open_source, model, sender), name=f"filler-{number}", daemon=True
            )
            child.start()
            sender.close()
            self._children[child] = receiver

    def __enter__(self) -> Self:
        return self

    def look(self) -> int:
        """Return how many processes are still working, and raise the error of one that failed.

        Raises:
            RebuildStopped: an event cannot be applied.
            DatabaseUnavailable: the database is unavailable.
            NeedsNewerProgram: a newer release wrote an event.
            RuntimeError: a process failed in another way.
        """
        for child in [child for child in self._children if not child.is_alive()]:
            with self._children.pop(child) as receiver:
                if receiver.poll():
                    with suppress(EOFError):  # it reported no error, or was killed
                        raise receiver.recv()
        return len(self._children)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in self._children:
            child.kill()
        deadline = time.monotonic() + _END_SECONDS
        for child, receiver in self._children.items():
            child.join(max(0.0, deadline - time.monotonic()))
            receiver.close()
