"""What was executed, when and by which process, as the skills noted it in their journal."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path


@dataclass
class Execution:
    """One execution of an attempt; times in milliseconds. It has no end when its process was killed meanwhile."""

    run_id: str
    step: str
    attempt: int
    pid: int
    began: int
    ended: float = math.inf

    def __str__(self) -> str:
        return f"attempt {self.attempt} by {self.pid} from {self.began} to {self.ended:.0f}"


def read_executions(journal: Path, deaths: Mapping[int, float] | None = None) -> list[Execution]:
    """Read the journal.

    Args:
        journal: Where the skills noted what they did.
        deaths: When processes were killed: what they were executing ended then.
    """
    executions: list[Execution] = []
    under_way: dict[tuple[str, str, int, int], Execution] = {}
    for line in journal.read_text().splitlines():
        what, run_id, step, attempt, at, pid = line.split()
        place = run_id, step, int(attempt), int(pid)
        if what == "begin":
            under_way[place] = Execution(*place, began=int(at), ended=(deaths or {}).get(int(pid), math.inf))
            executions.append(under_way[place])
        else:
            under_way.pop(place).ended = int(at)
    return executions


def overlaps(
    executions: list[Execution], excused: Callable[[Execution, Execution], bool] = lambda one, other: False
) -> Iterator[str]:
    """Yield the steps that were executed twice at the same time, unless that is excused."""
    by_step: dict[tuple[str, str], list[Execution]] = defaultdict(list)
    for one in executions:
        by_step[one.run_id, one.step].append(one)
    for (run_id, step), found in by_step.items():
        for one, other in pairwise(sorted(found, key=lambda execution: execution.began)):
            if other.began < one.ended and not excused(one, other):
                yield f"run {run_id} executed {step} twice at the same time: {one}, {other}"
