"""Results: tables on the screen, JSON in `benchmarks/results/`."""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"
OURS = "orchestrator"

_RATES = ("/s",)
_WIDTH = 150


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number.

    Attributes:
        workload: The label of the workload.
        what: What was measured.
        value: The number.
        unit: Its unit.
        goal: The goal, if there is one: `< 5`, `> 1.3`, or words.
        of: The contestant: ours, or a peer.
        note: Additional information for the reader.
    """

    workload: str
    what: str
    value: float
    unit: str
    goal: str = ""
    of: str = OURS
    note: str = ""

    @property
    def higher_is_better(self) -> bool:
        """Return whether the result is a rate."""
        return self.unit.endswith(_RATES)


@dataclass(frozen=True, slots=True)
class Goal:
    """A goal for one of our results, as a ratio to the same result of a peer.

    Attributes:
        workload: The label of the workload.
        what: What is compared.
        of: A prefix of the peer's name; if several peers match, the best result counts.
        limit: Our result divided by the peer's: at most this for a time, at least this for a rate.
    """

    workload: str
    what: str
    of: str
    limit: float


@dataclass(slots=True)
class Report:
    """Collects results, prints them and writes them to a file."""

    machine: Mapping[str, str]
    figures: list[Figure] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)

    def add(
        self, workload: str, what: str, value: float, unit: str, goal: str = "", *, of: str = OURS, note: str = ""
    ) -> None:
        """Add a result."""
        self.figures.append(Figure(workload, what, value, unit, goal, of, note))

    def miss(self, what: str, why: str) -> None:
        """Record that something was not measured, and why; it is listed in the report."""
        self.missing[what] = why

    def show(self, goals: Iterable[Goal] = ()) -> None:
        """Print our results, then those of the peers with ratios, then the goals."""
        console = Console(width=_WIDTH)
        title = "  ".join(f"{name} {value}" for name, value in self.machine.items())
        ours = [figure for figure in self.figures if figure.of == OURS]
        rows = [(f.workload, f.what, shown(f.value), f.unit, f.goal, verdict(f.goal, f.value)) for f in ours]
        console.print(_table(title, ("workload", "what", ">value", "unit", "goal", "met"), rows))
        others = [figure for figure in self.figures if figure.of != OURS]
        if others:
            title = "side by side: above 1 ours is more, below 1 less"
            console.print(
                _table(title, ("workload", "what", "of", ">value", "unit", ">ours / it"), self._beside(others))
            )
        judged = [self._judged(goal) for goal in goals]
        if any(row[3] for row in judged):
            title = "goals that are ratios"
            console.print(_table(title, ("workload", "what", "ours /", ">ratio", "goal", "met"), judged))
        for note in dict.fromkeys(f"{figure.of}: {figure.note}" for figure in self.figures if figure.note):
            console.print(note, style="dim")
        for what, why in self.missing.items():
            console.print(f"not measured: {what}: {why}", style="bold")

    def save(self, goals: Iterable[Goal] = (), folder: Path = RESULTS) -> Path:
        """Write everything as JSON and return the path of the file."""
        folder.mkdir(exist_ok=True)
        path = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
        figures = [
            {**asdict(figure), "ratio": None if figure.of == OURS else self.ratio(figure)} for figure in self.figures
        ]
        judged = [{**asdict(goal), "ratio": self.against(goal)} for goal in goals]
        document = {"machine": self.machine, "figures": figures, "goals": judged, "missing": self.missing}
        path.write_text(json.dumps(document, indent=2))
        return path

    def ratio(self, other: Figure) -> float | None:
        """Return our result divided by a peer's with the same label; None if ours is missing or the peer's is 0."""
        for figure in self.figures:
            if figure.of == OURS and (figure.workload, figure.what) == (other.workload, other.what):
                if figure.unit != other.unit:
                    raise ValueError(f"{figure.workload}, {figure.what}: {figure.unit} against {other.unit}")
                return figure.value / other.value if other.value else None
        return None

    def against(self, goal: Goal) -> float | None:
        """Return the ratio for a goal, to the peer's best result; None if it was not measured."""
        theirs = [
            figure
            for figure in self.figures
            if (figure.workload, figure.what) == (goal.workload, goal.what) and figure.of.startswith(goal.of)
        ]
        if not theirs:
            return None
        best = max if theirs[0].higher_is_better else min
        return self.ratio(best(theirs, key=lambda figure: figure.value))

    def _beside(self, others: Sequence[Figure]) -> list[tuple[str, ...]]:
        order = list(dict.fromkeys((figure.workload, figure.what) for figure in self.figures))
        ordered = sorted(others, key=lambda figure: order.index((figure.workload, figure.what)))
        rows = []
        for figure in ordered:
            ratio = self.ratio(figure)
            rows.append(
                (
                    figure.workload,
                    figure.what,
                    figure.of,
                    shown(figure.value),
                    figure.unit,
                    "" if ratio is None else shown(ratio),
                )
            )
        return rows

    def _judged(self, goal: Goal) -> tuple[str, ...]:
        ratio = self.against(goal)
        sample = next((f for f in self.figures if (f.workload, f.what) == (goal.workload, goal.what)), None)
        if ratio is None or sample is None:
            return goal.workload, goal.what, goal.of, "", "", "not measured"
        wanted = f"{'>' if sample.higher_is_better else '<'} {goal.limit:.3g}"
        return goal.workload, goal.what, goal.of, shown(ratio), wanted, verdict(wanted, ratio)


def verdict(goal: str, value: float) -> str:
    """Return whether a value meets a goal of the form `< 5` or `> 1.3`; None for goals of another form."""
    sign, _, number = goal.partition(" ")
    try:
        limit = float(number.replace(",", ""))
    except ValueError:
        return ""
    if sign not in ("<", "<=", ">", ">="):
        return ""
    return "yes" if (value <= limit if sign.startswith("<") else value >= limit) else "no"


def shown(value: float) -> str:
    """Return a number with three significant digits, or as an integer from 1,000 up."""
    return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def percentile(values: Sequence[float], fraction: float) -> float:
    """Return the value below which `fraction` of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(fraction * (len(ordered) - 1)))]


def _table(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Return a new table; columns whose heading begins with `>` are right-aligned."""
    table = Table(title=title, title_style="dim")
    for heading in headings:
        table.add_column(heading.removeprefix(">"), justify="right" if heading.startswith(">") else "left")
    for row in rows:
        table.add_row(*row)
    return table
