"""The runs that a projector keeps in memory: those that are not over, the ones touched longest ago left out.

When triggers outrun the workers, any number of runs wait; what is left out is read again when its turn comes.
"""

from collections.abc import Collection

from orchestrator.projections.read_models.contract import ProjectedRun

MAX_STEPS = 400_000
"""So many steps of open runs are kept, at some 50 bytes each and more as they are executed."""

_OF_A_RUN = 30  # what a run takes besides its steps, counted as steps


class OpenRuns:
    """Runs by id, bounded by how many steps they have together."""

    def __init__(self, max_steps: int = MAX_STEPS) -> None:
        self._runs: dict[str, ProjectedRun] = {}
        self._max_steps = max_steps
        self._steps = 0

    def __contains__(self, run_id: str) -> bool:
        return run_id in self._runs

    def __getitem__(self, run_id: str) -> ProjectedRun:
        return self._runs[run_id]

    def __setitem__(self, run_id: str, projected: ProjectedRun) -> None:
        self.drop(run_id)
        self._runs[run_id] = projected
        self._steps += _size(projected)

    def __len__(self) -> int:
        return len(self._runs)

    def drop(self, run_id: str) -> None:
        """Leave a run out, if it is there."""
        projected = self._runs.pop(run_id, None)
        if projected is not None:
            self._steps -= _size(projected)

    def trim(self, touched: Collection[str]) -> None:
        """Leave out what is too much, but none of those just touched: their rows are still to be written."""
        for run_id in touched:
            if run_id in self._runs:
                self._runs[run_id] = self._runs.pop(run_id)
        while self._steps > self._max_steps and len(self._runs) > len(touched):
            self.drop(next(iter(self._runs)))

    def clear(self) -> None:
        """Leave all out."""
        self._runs.clear()
        self._steps = 0


def _size(projected: ProjectedRun) -> int:
    return _OF_A_RUN + len(projected.run.waiting)
