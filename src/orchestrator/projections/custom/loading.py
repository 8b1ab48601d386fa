"""Find the installed custom read models: the entry points of the group `orchestrator.projections`.

A read model that cannot be loaded does not affect the others. Its name and the reason are recorded.
"""

import pickle
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points

from orchestrator.projections.custom.contract import faults
from orchestrator.projections.custom.table import CustomTable

ENTRY_POINT_GROUP = "orchestrator.projections"


@dataclass(frozen=True, slots=True)
class CustomModels:
    """The installed custom read models: those that could be loaded and, by name, the reasons why others could not."""

    tables: tuple[CustomTable, ...] = ()
    faults: Mapping[str, str] = field(default_factory=dict)


def load_custom_models(entries: Iterable[EntryPoint] | None = None) -> CustomModels:
    """Load the read models of installed packages, or of the given entry points."""
    found = entry_points(group=ENTRY_POINT_GROUP) if entries is None else entries
    by_name: dict[str, dict[str, EntryPoint]] = {}
    for entry in found:
        by_name.setdefault(entry.name, {})[entry.value] = entry
    tables: list[CustomTable] = []
    reasons: dict[str, str] = {}
    for name, same in sorted(by_name.items()):
        try:
            tables.append(_load(name, list(same.values())))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - importing can fail in any way
            reasons[name] = f"cannot be loaded: {str(error) or type(error).__name__}"
    return CustomModels(tuple(tables), reasons)


def _load(name: str, entries: list[EntryPoint]) -> CustomTable:
    if len(entries) > 1:
        raise ValueError(f"several entry points have this name: {', '.join(sorted(one.value for one in entries))}")
    (entry,) = entries
    try:
        model = entry.load()
    except (Exception, SystemExit) as error:
        raise ValueError(f"importing {entry.value} failed: {error!r}") from error
    if wrong := list(faults(model, name)):
        raise ValueError("; ".join(wrong))
    table = CustomTable(model())
    try:
        pickle.dumps(table)
    except Exception as error:
        raise ValueError(f"it cannot be pickled, which a rebuild needs: {error!r}") from error
    return table
