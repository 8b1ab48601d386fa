"""What a read model is: rows that follow from runs, written with SQL of its own."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from orchestrator.domain.events import TERMINAL_EVENTS, RunCancelled, RunRecovered
from orchestrator.eventstore.folding import LoadedRun
from orchestrator.eventstore.recorded import Recorded
from orchestrator.postgres.database import Connection
from orchestrator.postgres.session import Statement

Row = dict[str, Any]


@dataclass(slots=True)
class ProjectedRun(LoadedRun):
    """A run as folded so far, and what of it changed since the rows were last written."""

    touched: set[str] = field(default_factory=set)

    def take(self, recorded: Recorded) -> None:
        """Fold the next event and note which steps it touches."""
        event: Any = recorded.event
        if isinstance(event, RunRecovered):
            self.touched.update(self.run.executing)
        elif isinstance(event, RunCancelled):
            self.touched.update(self.run.steps)
        elif not isinstance(event, TERMINAL_EVENTS) and (step := getattr(event, "step", None)) is not None:
            self.touched.add(step)
        self.evolve(event, recorded.version, recorded.position)


class ReadModel(ABC):
    """A table of rows that follow from the log. It can be dropped and rebuilt at any time.

    `version` is raised when the rows it makes of the same events change. `key` are the columns that tell its
    rows apart, `documents` those that hold JSON. `topics` are the stored names of the events that its rows follow
    from, besides the time and place of the latest one of a run (None: of all); a rebuild reads no others. `upsert`
    inserts or replaces rows; its one parameter is a JSON array of them. It can be pickled, since a rebuild uses several
    processes.
    """

    name: str
    version: int
    key: tuple[str, ...]
    documents: tuple[str, ...]
    topics: tuple[str, ...] | None
    upsert: Statement

    @abstractmethod
    def rows(self, projected: ProjectedRun) -> Iterable[Row]:
        """Return the rows that the touched parts of a run now have."""

    def settle(self, connection: Connection) -> None:  # noqa: B027 - most have nothing to do
        """Make rows that were copied in, run by run and in any order, into those that `upsert` would have made.

        Unless overridden, rows stay as they are: no two runs have one in common.
        """

    def attach(self, connection: Connection) -> None:  # noqa: B027 - most have nothing to do
        """Make again what depends on the table, after a rebuild put another in its place; nothing unless overridden."""
