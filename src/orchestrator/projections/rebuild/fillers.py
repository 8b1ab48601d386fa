"""The processes that fill the new table of a rebuild, and what they say of it."""

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
    """Processes at work until nothing is left to fill; those that still are at the end are killed."""

    def __init__(self, open_source: OpenSource | None = None, model: ReadModel | None = None, count: int = 0) -> None:
        # A new interpreter each: this process may have threads, which a fork would leave in pieces.
        context = multiprocessing.get_context("spawn")
        self._children: dict[BaseProcess, Pipe] = {}
        for number in range(count):
            heard, told = context.Pipe(duplex=False)
            child = context.Process(
                target=fill_in_child, args=(open_source, model, told), name=f"filler-{number}", daemon=True
            )
            child.start()
            told.close()
            self._children[child] = heard

    def __enter__(self) -> Self:
        return self

    def look(self) -> int:
        """Return how many are still at work.

        Raises:
            RebuildStopped: one found an event that cannot be applied.
            RuntimeError: one failed in another way.
        """
        for child in [child for child in self._children if not child.is_alive()]:
            with self._children.pop(child) as heard:
                if heard.poll():
                    with suppress(EOFError):  # it had nothing to say, or was killed
                        raise heard.recv()
        return len(self._children)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in self._children:
            child.kill()
        deadline = time.monotonic() + _END_SECONDS
        for child, heard in self._children.items():
            child.join(max(0.0, deadline - time.monotonic()))
            heard.close()
