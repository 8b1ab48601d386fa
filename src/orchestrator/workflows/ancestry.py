"""Ancestry: who comes before whom among many steps, also while they still form cycles."""

from collections.abc import Mapping, Sequence

from orchestrator.domain.graph import components


class Ancestry:
    """The ancestors of every step, as bits: one number a step, so that ten thousand steps take 12 MB, not 5 GB.

    `knots` are the sets of steps that form cycles, each in no particular order. Names that are no step's are
    ignored.
    """

    def __init__(self, dependencies: Mapping[str, Sequence[str]]) -> None:
        self._bit = {step: index for index, step in enumerate(dependencies)}
        self._before: dict[str, int] = {}
        self.knots: list[tuple[str, ...]] = []
        for component in components(dependencies):
            before = 0
            for step in component:
                for dependency in dependencies[step]:
                    if dependency in self._bit:
                        before |= self._before.get(dependency, 0) | 1 << self._bit[dependency]
            for step in component:
                self._before[step] = before
            if len(component) > 1:
                self.knots.append(component)

    def is_ancestor(self, ancestor: str, step: str) -> bool:
        """Say whether `ancestor` must be done before `step` can begin; both must be steps."""
        return bool(self._before[step] >> self._bit[ancestor] & 1)
