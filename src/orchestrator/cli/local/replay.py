"""The commands `replay` and `diff`: rebuild past states of runs from the log."""

from dataclasses import dataclass
from typing import Any

from orchestrator.application.core import Core
from orchestrator.application.errors import InvalidRequest
from orchestrator.application.moments import parse_moment, up_to
from orchestrator.audit.histories import HistoriesAudit, HistoryFault
from orchestrator.audit.replay import compare, contents, frames
from orchestrator.audit.transfer.export import EventSelection, select
from orchestrator.bootstrap.core import open_core
from orchestrator.cli.complaint import Complaint
from orchestrator.cli.logging import configure_logging
from orchestrator.cli.output.meter import open_meter
from orchestrator.domain.errors import RunNotFound
from orchestrator.domain.output import output_to_json
from orchestrator.domain.run import Run, StepState
from orchestrator.eventstore.recorded import Recorded
from orchestrator.projections.views.values import artifact_views
from orchestrator.settings import Settings
from orchestrator.workers.attempts import output_hash

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class CheckedHistories:
    """The result of a check: how many events and runs were checked, and the events that are faulty."""

    events: int
    runs: int
    faults: tuple[HistoryFault, ...]


def load_moment(settings: Settings, run_id: str, at: str | None) -> Document:
    """Return a run's state at a moment: `{run, steps}`, each step with its dependencies."""
    configure_logging(settings, quiet=True)
    with open_core(settings) as core:
        return _moment(core, run_id, at)


def load_frames(settings: Settings, run_id: str, at: str | None) -> list[Document]:
    """Return each event of a run up to a moment, with the changes it made."""
    configure_logging(settings, quiet=True)
    with open_core(settings) as core:
        return list(frames(_history(core, run_id, at), core.workflows.get))


def compare_moments(settings: Settings, before: tuple[str, str | None], after: tuple[str, str | None]) -> Document:
    """Return the differences between two moments, each a run id and a version or time (None: now)."""
    configure_logging(settings, quiet=True)
    with open_core(settings) as core:
        ours, theirs = _moment(core, *before), _moment(core, *after)
    return {
        "before": {"runId": before[0], "version": ours["run"]["version"]},
        "after": {"runId": after[0], "version": theirs["run"]["version"]},
        **compare(ours, theirs),
    }


def check_histories(settings: Settings, run_id: str | None) -> CheckedHistories:
    """Check that the decider would produce every recorded event of a run, or of all runs."""
    configure_logging(settings, quiet=True)
    with open_core(settings) as core, open_meter() as report:
        if run_id is not None and not core.log.read(run_id, limit=1):
            raise RunNotFound(f"there is no run {run_id}", runId=run_id)
        audit = HistoriesAudit(core.log.mapper)
        total = core.log.last_position() if run_id is None else None
        found = tuple(audit.faults(select(core.log, EventSelection(run_id=run_id)), total, report))
        return CheckedHistories(audit.events, audit.runs, found)


def _moment(core: Core, run_id: str, at: str | None) -> Document:
    loaded = core.runs.fold(run_id, _history(core, run_id, at))
    run, sources = loaded.run, _SourceRuns(core, loaded.tenant)
    steps = core.reader.folded_steps(loaded)
    for step in steps:
        step_id, maker = step["stepId"], run.maker(step["stepId"])
        state = sources.step(maker, step_id) if run.is_reused(step_id) else run.step(step_id)
        step["artifacts"], step["outputHash"] = [], state.output_hash
        if state.output is not None:
            # The event of a cache hit holds the result without its hash.
            step["outputHash"] = state.output_hash or output_hash(state.output)
            step["artifacts"] = contents(artifact_views(step_id, maker, output_to_json(state.output), state.ended_at))
        step["dependsOn"] = list(run.workflow.steps[step_id].depends_on)
    return {"run": core.reader.folded_run(loaded), "steps": steps}


class _SourceRuns:
    """The runs that made the results another run reuses. Each is folded once."""

    def __init__(self, core: Core, tenant: str) -> None:
        self._core = core
        self._tenant = tenant
        self._runs: dict[str, Run] = {}

    def step(self, run_id: str, step_id: str) -> StepState:
        """Return the state of a step in the run that made its result."""
        if run_id not in self._runs:
            self._runs[run_id] = self._core.runs.load(run_id, self._tenant).run
        return self._runs[run_id].step(step_id)


def _history(core: Core, run_id: str, at: str | None) -> list[Recorded]:
    history = core.reader.history(core.settings.tenant, run_id)
    if at is None:
        return history
    try:
        return up_to(parse_moment(at), run_id, history)
    except InvalidRequest as error:
        fault = error.details["faults"][0]["message"].removesuffix(" (write + as %2B)")
        raise Complaint(f"--at {at}: {fault}", "List versions and times with `orchestrator history RUN`.") from error
