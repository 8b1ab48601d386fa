"""Results: a table on the screen, JSON in `benchmarks/results/`."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number: of which workload, what, how much, in which unit, and the goal where there is one."""

    workload: str
    what: str
    value: float
    unit: str
    goal: str = ""


@dataclass(slots=True)
class Report:
    """Collects figures and shows them."""

    machine: dict[str, str]
    figures: list[Figure] = field(default_factory=list)

    def add(self, workload: str, what: str, value: float, unit: str, goal: str = "") -> None:
        """Add a figure."""
        self.figures.append(Figure(workload, what, value, unit, goal))

    def show(self) -> None:
        """Print the table."""
        table = Table(title="  ".join(f"{name} {value}" for name, value in self.machine.items()), title_style="dim")
        for heading in ("workload", "what", "value", "unit", "goal"):
            table.add_column(heading, justify="right" if heading == "value" else "left")
        for figure in self.figures:
            table.add_row(
                figure.workload,
                figure.what,
                f"{figure.value:,.3g}" if figure.value < 1000 else f"{figure.value:,.0f}",
                figure.unit,
                figure.goal,
            )
        Console(width=140).print(table)

    def save(self) -> Path:
        """Write the figures as JSON and return where."""
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
        path.write_text(json.dumps({"machine": self.machine, "figures": [asdict(f) for f in self.figures]}, indent=2))
        return path


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def percentile(values: Sequence[float], fraction: float) -> float:
    """Return the value below which `fraction` of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(fraction * (len(ordered) - 1)))]
