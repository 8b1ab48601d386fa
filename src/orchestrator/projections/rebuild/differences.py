"""The result of comparing a read model with the log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["missing", "extra", "changed"]


@dataclass(frozen=True, slots=True)
class RowDifference:
    """A row that differs: its key, and the live and rebuilt values of each column that differs.

    `kind` is missing (the live table lacks the row), extra (the live table must not have it) or changed.
    """

    key: str
    kind: Kind
    columns: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """The result of a rebuild or a comparison.

    Attributes:
        name: the name of the read model.
        version: the version of the new rows.
        replaced: the version of the live rows; if it is not `version`, differences are expected.
        position: the position of the log at the end of the rebuild.
        events: the number of events read.
        resumed_at: the number of events that an interrupted earlier rebuild had already processed.
        seconds: how long the rebuild took.
        differing: the number of rows that differ.
        differences: the first of these rows.
        swapped: whether the new rows are now live.
    """

    name: str
    version: int
    replaced: int
    position: int
    events: int
    resumed_at: int
    seconds: float
    differing: int
    differences: tuple[RowDifference, ...]
    swapped: bool

    @property
    def is_faulty(self) -> bool:
        """Whether the live rows did not match the log."""
        return self.differing > 0 and self.version == self.replaced


def difference(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None, key: Sequence[str]) -> RowDifference:
    """Return how a live row differs from the rebuilt one. None means that there is no such row; at most one is None."""
    there = new or old or {}
    name = "/".join(str(there[column]) for column in key)
    if old is None or new is None:
        return RowDifference(name, "missing" if old is None else "extra")
    return RowDifference(
        name, "changed", {column: (old[column], new[column]) for column in new if old.get(column) != new[column]}
    )
