"""The open runs that a projector keeps in memory, up to a limit; the least recently used are evicted.

When triggers outrun the workers, any number of runs may wait. An evicted run is read again when its next event comes.
"""

from collections.abc import Collection

from orchestrator.projections.read_models.contract import ProjectedRun

MAX_STEPS = 400_000
"""The most steps of open runs to keep, at about 50 bytes each, and more once they are executed."""

_RUN_OVERHEAD = 30  # the memory a run takes besides its steps, counted in steps


class OpenRuns:
    """Runs by id, limited by their total number of steps."""

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
        """Remove a run if it is present."""
        projected = self._runs.pop(run_id, None)
        if projected is not None:
            self._steps -= _size(projected)

    def trim(self, touched: Collection[str]) -> None:
        """Evict runs above the limit, but none in `touched`, whose rows have not been written yet."""
        for run_id in touched:
            if run_id in self._runs:
                self._runs[run_id] = self._runs.pop(run_id)
        while self._steps > self._max_steps and len(self._runs) > len(touched):
            self.drop(next(iter(self._runs)))

    def clear(self) -> None:
        """Remove all runs."""
        self._runs.clear()
        self._steps = 0


def _size(projected: ProjectedRun) -> int:
    return _RUN_OVERHEAD + len(projected.run.waiting)
