"""Looking into the past of runs, in the log itself."""

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

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class CheckedHistories:
    """How much was looked at, and what could not have happened."""

    events: int
    runs: int
    faults: tuple[HistoryFault, ...]


def load_moment(settings: Settings, run_id: str, at: str | None) -> Document:
    """Return a run as it was: `{run, steps}`, each step with what it depends on."""
    configure_logging(settings, quiet=True)
    with open_core(settings) as core:
        return _moment(core, run_id, at)


def load_frames(settings: Settings, run_id: str, at: str | None) -> list[Document]:
    """Return what each event of a run was and changed, up to a moment."""
    configure_logging(settings, quiet=True)
    with open_core(settings) as core:
        return list(frames(_history(core, run_id, at), core.workflows.get))


def compare_moments(settings: Settings, before: tuple[str, str | None], after: tuple[str, str | None]) -> Document:
    """Return what is different between two moments, each a run and when."""
    configure_logging(settings, quiet=True)
    with open_core(settings) as core:
        ours, theirs = _moment(core, *before), _moment(core, *after)
    return {
        "before": {"runId": before[0], "version": ours["run"]["version"]},
        "after": {"runId": after[0], "version": theirs["run"]["version"]},
        **compare(ours, theirs),
    }


def check_histories(settings: Settings, run_id: str | None) -> CheckedHistories:
    """Ask the decider again about every event of a run, or of all runs."""
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
    run, makers = loaded.run, _Makers(core, loaded.tenant)
    steps = core.reader.folded_steps(loaded)
    for step in steps:
        step_id, maker = step["stepId"], run.maker(step["stepId"])
        state = makers.step(maker, step_id) if run.is_reused(step_id) else run.step(step_id)
        step["artifacts"] = []
        if state.output is not None:
            step["artifacts"] = contents(artifact_views(step_id, maker, output_to_json(state.output), state.ended_at))
        step["outputHash"] = state.output_hash
        step["dependsOn"] = list(run.workflow.steps[step_id].depends_on)
    return {"run": core.reader.folded_run(loaded), "steps": steps}


class _Makers:
    """The runs that made what another one reuses, each folded once."""

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
        fault = error.details["faults"][0]["message"].removesuffix(" (+ is written %2B)")
        raise Complaint(f"--at {at}: {fault}", "`orchestrator history RUN` lists versions and times.") from error
