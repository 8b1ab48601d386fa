"""What a comparison of a read model with the log comes to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["missing", "extra", "changed"]


@dataclass(frozen=True, slots=True)
class RowDifference:
    """A row that is not the same: its key, and for each column that differs the live and the rebuilt value.

    `kind` is missing (the live table lacks it), extra (it should not be there) or changed.
    """

    key: str
    kind: Kind
    columns: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """What a rebuild came to: events read, the position at its end, and the differences.

    `version` is that of the new rows, `replaced` that of the live ones: when it is another, differences are meant.
    `differing` counts the rows that are not the same, of which `differences` shows the first. `resumed_at` is how
    many events an earlier attempt had seen to, `swapped` whether the new rows are the live ones now.
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
        """Whether the live rows were not what the log says."""
        return self.differing > 0 and self.version == self.replaced


def difference(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None, key: Sequence[str]) -> RowDifference:
    """Return how a live row differs from the rebuilt one; None stands for no row, not for both."""
    there = new or old or {}
    name = "/".join(str(there[column]) for column in key)
    if old is None or new is None:
        return RowDifference(name, "missing" if old is None else "extra")
    return RowDifference(
        name, "changed", {column: (old[column], new[column]) for column in new if old.get(column) != new[column]}
    )
