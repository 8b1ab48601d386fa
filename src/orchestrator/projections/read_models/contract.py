"""The contract of a read model: rows derived from runs, written with the model's own SQL."""

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
    """A run as folded so far, and the steps that changed since its rows were last written."""

    touched: set[str] = field(default_factory=set)

    def take(self, recorded: Recorded) -> None:
        """Fold the next event and record which steps it changes."""
        event: Any = recorded.event
        if isinstance(event, RunRecovered):
            self.touched.update(self.run.executing)
        elif isinstance(event, RunCancelled):
            self.touched.update(self.run.steps)
        elif not isinstance(event, TERMINAL_EVENTS) and (step := getattr(event, "step", None)) is not None:
            self.touched.add(step)
        self.evolve(event, recorded.version, recorded.position)


class ReadModel(ABC):
    """A table of rows derived from the log. It can be dropped and rebuilt at any time.

    A read model must be picklable, because a rebuild uses several processes.

    Attributes:
        name: the name of the read model and its table.
        version: raised when the same events produce other rows.
        key: the columns that identify a row.
        documents: the columns that contain JSON.
        topics: the stored names of the events that the rows depend on, besides the time and position of the run's
            latest event; None means all events. A rebuild reads no others.
        upsert: the statement that inserts or replaces rows; its only parameter is a JSON array of rows.
    """

    name: str
    version: int
    key: tuple[str, ...]
    documents: tuple[str, ...]
    topics: tuple[str, ...] | None
    upsert: Statement

    @abstractmethod
    def rows(self, projected: ProjectedRun) -> Iterable[Row]:
        """Return the current rows of the run and of its touched steps."""

    def settle(self, connection: Connection) -> None:  # noqa: B027 - most have nothing to do
        """Turn rows that were copied run by run, in any order, into the rows that `upsert` would have written.

        By default this does nothing, because no two runs share a row.
        """

    def attach(self, connection: Connection) -> None:  # noqa: B027 - most have nothing to do
        """Recreate what depends on the table after a rebuild has replaced it. By default this does nothing."""
