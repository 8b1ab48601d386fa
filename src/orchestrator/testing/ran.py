"""What a run left behind, in a test or a script."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.artifacts.store import ArtifactStore
from orchestrator.domain.output import Output, StepError
from orchestrator.domain.run import Run
from orchestrator.eventstore.recorded import Recorded
from orchestrator.projections.views.event_views import event_view
from orchestrator.testing.collected import CollectedArtifact, CollectedLog, collected


@dataclass(frozen=True)
class RanRun:
    """A run that has ended.

    Attributes:
        run_id: the id of the run.
        status: `completed`, `failed` or `cancelled`.
        steps: the status of each step, in topological order.
        outputs: the data of each step that has a result, by step id.
        artifacts: the artifacts of these steps with their bytes, in topological order.
        errors: why steps failed, by step id.
        events: the events of the run, as `orchestrator history --json` shows them.
        logs: what each step said with `ctx.log`, in all its attempts. Empty with a data directory.
        progress: what each step reported with `ctx.progress`: pairs of fraction and message. Empty with a data
            directory.
        workflow_version: the version of the workflow that ran.
    """

    run_id: str
    status: str
    steps: Mapping[str, str]
    outputs: Mapping[str, Any]
    artifacts: list[CollectedArtifact]
    errors: Mapping[str, StepError]
    events: list[dict[str, Any]]
    logs: Mapping[str, list[CollectedLog]]
    progress: Mapping[str, list[tuple[float, str]]]
    workflow_version: str

    def __repr__(self) -> str:
        failed = "".join(f"; {step}: {error.code}: {error.message}" for step, error in self.errors.items())
        return f"<run {self.run_id} {self.status}{failed}>"


def ran_run(
    run: Run,
    outputs: Mapping[str, Output],
    history: Iterable[Recorded],
    store: ArtifactStore,
    *,
    tenant: str,
    logs: Mapping[str, list[CollectedLog]] | None = None,
    progress: Mapping[str, list[tuple[float, str]]] | None = None,
) -> RanRun:
    """Return what a run left behind. This reads the artifact store, so call it in a thread.

    Raises:
        ArtifactGone: an artifact of the run is missing or altered.
    """
    return RanRun(
        run.id,
        run.status,
        {step: state.status for step, state in run.states()},
        {step: store.load_data(output, tenant) for step, output in outputs.items()},
        collected(store, [artifact for output in outputs.values() for artifact in output.artifacts], tenant),
        {step: state.error for step, state in run.states() if state.error is not None},
        [event_view(recorded) for recorded in history],
        logs or {},
        progress or {},
        run.workflow.version,
    )
