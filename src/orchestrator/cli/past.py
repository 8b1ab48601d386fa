"""Looking into the past of runs, in the log itself."""

from dataclasses import dataclass

from orchestrator.api.errors import InvalidRequest
from orchestrator.api.moments import parse_moment, up_to
from orchestrator.bootstrap.core import Core, open_core
from orchestrator.cli.client import Document
from orchestrator.cli.complaint import Complaint
from orchestrator.cli.logging import configure_logging
from orchestrator.cli.meter import open_meter
from orchestrator.domain.errors import RunNotFound
from orchestrator.domain.output import output_to_json
from orchestrator.eventstore.recorded import Recorded
from orchestrator.projections.histories import HistoriesAudit, HistoryFault
from orchestrator.projections.replay import compare, frames, moment_view
from orchestrator.projections.transfer.export import Selection, select
from orchestrator.projections.views import artifact_views
from orchestrator.settings import Settings


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
        found = tuple(audit.faults(select(core.log, Selection(run_id=run_id)), total, report))
        return CheckedHistories(audit.events, audit.runs, found)


def _moment(core: Core, run_id: str, at: str | None) -> Document:
    loaded = core.runs.fold(run_id, _history(core, run_id, at))
    run, made = loaded.run, {}
    for step_id, state in run.states():
        if state.output is not None:
            output = output_to_json(state.output)
            made[step_id] = list(artifact_views(step_id, run.maker(step_id), output, state.ended_at))
    view = moment_view(core.reader.folded_run(loaded), core.reader.folded_steps(loaded), made)
    for step in view["steps"]:
        step["outputHash"] = run.step(step["stepId"]).output_hash
        step["dependsOn"] = list(run.workflow.steps[step["stepId"]].depends_on)
    return view


def _history(core: Core, run_id: str, at: str | None) -> list[Recorded]:
    history = core.reader.history(core.settings.tenant, run_id)
    if at is None:
        return history
    try:
        return up_to(parse_moment(at), run_id, history)
    except InvalidRequest as error:
        fault = error.details["faults"][0]["message"].removesuffix(" (+ is written %2B)")
        raise Complaint(f"--at {at}: {fault}", "`orchestrator history RUN` lists versions and times.") from error
