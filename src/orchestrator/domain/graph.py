"""The graph of a workflow's steps: order, dependents, ancestors, closure, cycles.

All functions are linear in the size of the graph, except for the order (n log n).
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush


@dataclass(frozen=True, slots=True)
class Graph:
    """Steps and their edges, with the topological order computed once.

    `order` lists every step after all its dependencies. Among the steps that could come next, it takes the one
    declared first, so steps that are declared in a topological order keep that order. `dependencies` and
    `dependents` are the edges in both directions.
    """

    order: tuple[str, ...]
    dependencies: Mapping[str, tuple[str, ...]]
    dependents: Mapping[str, tuple[str, ...]]

    def downstream(self, seeds: Iterable[str]) -> set[str]:
        """Return the seeds and every step that depends on them, directly or indirectly."""
        return _reach(seeds, self.dependents)

    def ancestors(self, step: str) -> set[str]:
        """Return every step that must be done before `step`, excluding `step` itself."""
        return _reach(self.dependencies[step], self.dependencies)

    def levels(self) -> dict[str, int]:
        """Return the level of each step: the length of the longest path that leads to it, 0 without dependencies."""
        found: dict[str, int] = {}
        for step in self.order:
            found[step] = max((found[one] + 1 for one in self.dependencies[step]), default=0)
        return found

    def path_from(self, seeds: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
        """Return, for each step downstream of the seeds, a shortest chain `(seed, ..., step)` that leads to it.

        Each chain is built on access: building all chains in advance would be quadratic.
        """
        reached: dict[str, str | None] = dict.fromkeys(seeds)
        queue = deque(reached)
        while queue:
            step = queue.popleft()
            for dependent in self.dependents[step]:
                if dependent not in reached:
                    reached[dependent] = step
                    queue.append(dependent)
        return _Chains(reached)


class _Chains(Mapping[str, tuple[str, ...]]):
    """The chain that leads to each step, built on access from each step's predecessor."""

    def __init__(self, reached_from: Mapping[str, str | None]) -> None:
        self._reached_from = reached_from

    def __getitem__(self, step: str) -> tuple[str, ...]:
        chain = [step]
        while (before := self._reached_from[chain[-1]]) is not None:
            chain.append(before)
        return tuple(reversed(chain))

    def __iter__(self) -> Iterator[str]:
        return iter(self._reached_from)

    def __len__(self) -> int:
        return len(self._reached_from)


def build_graph(dependencies: Mapping[str, Sequence[str]]) -> Graph:
    """Return the graph of `{step: its dependencies}`, which must be free of cycles and unknown names.

    Raises:
        ValueError: the edges form a cycle, or name an unknown step.
    """
    dependents: dict[str, list[str]] = {step: [] for step in dependencies}
    for step, needed in dependencies.items():
        for dependency in needed:
            if dependency not in dependents:
                raise ValueError(f"step {step!r} depends on unknown step {dependency!r}")
            dependents[dependency].append(step)
    waiting = {step: len(needed) for step, needed in dependencies.items()}
    declared = list(dependencies)
    place = {step: index for index, step in enumerate(declared)}
    ready = [place[step] for step, count in waiting.items() if count == 0]
    heapify(ready)
    order: list[str] = []
    while ready:
        step = declared[heappop(ready)]
        order.append(step)
        for dependent in dependents[step]:
            waiting[dependent] -= 1
            if waiting[dependent] == 0:
                heappush(ready, place[dependent])
    if len(order) != len(dependencies):
        cycle = find_cycle(dependencies) or ()
        raise ValueError(f"the steps form a cycle: {' -> '.join(cycle)}")
    return Graph(
        tuple(order),
        {step: tuple(needed) for step, needed in dependencies.items()},
        {step: tuple(others) for step, others in dependents.items()},
    )


def find_cycle(dependencies: Mapping[str, Sequence[str]]) -> tuple[str, ...] | None:
    """Return one cycle in dependency order, with the first step repeated at the end, or None.

    Unknown names are ignored.
    """
    done: set[str] = set()
    for start in dependencies:
        if start in done:
            continue
        path: list[str] = [start]
        on_path = {start: 0}
        branches = [iter(dependencies[start])]
        while branches:
            step = next(branches[-1], None)
            if step is None:
                branches.pop()
                finished = path.pop()
                del on_path[finished]
                done.add(finished)
            elif step in on_path:
                return (*path[on_path[step] :], step)
            elif step in dependencies and step not in done:
                on_path[step] = len(path)
                path.append(step)
                branches.append(iter(dependencies[step]))
    return None


def components(dependencies: Mapping[str, Sequence[str]]) -> list[tuple[str, ...]]:
    """Return the strongly connected components, dependencies first: single steps, or all steps of connected cycles.

    Unknown names are ignored. This is Tarjan's algorithm (SIAM Journal on Computing 1, 1972), without recursion.
    """
    found: list[tuple[str, ...]] = []
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    open_steps: set[str] = set()
    for start in dependencies:
        work = [] if start in number else [(start, iter(dependencies[start]))]
        while work:
            step, branches = work[-1]
            if step not in number:
                number[step] = low[step] = len(number)
                stack.append(step)
                open_steps.add(step)
            for dependency in branches:
                if dependency in open_steps:
                    low[step] = min(low[step], number[dependency])
                elif dependency in dependencies and dependency not in number:
                    work.append((dependency, iter(dependencies[dependency])))
                    break
            else:
                work.pop()
                if work:
                    before = work[-1][0]
                    low[before] = min(low[before], low[step])
                if low[step] == number[step]:
                    component = [stack.pop()]
                    while component[-1] != step:
                        component.append(stack.pop())
                    open_steps.difference_update(component)
                    found.append(tuple(reversed(component)))
    return found


def _reach(seeds: Iterable[str], edges: Mapping[str, tuple[str, ...]]) -> set[str]:
    reached = set(seeds)
    queue = deque(reached)
    while queue:
        for step in edges[queue.popleft()]:
            if step not in reached:
                reached.add(step)
                queue.append(step)
    return reached
