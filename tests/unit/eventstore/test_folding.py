"""A history adds up to a run, with the place and time of its latest event."""

import pytest

from orchestrator.domain.events import RunStarted, RunTriggered
from orchestrator.domain.workflow import Step, Workflow
from orchestrator.eventstore.folding import LoadedRun
from orchestrator.eventstore.recorded import Recorded
from orchestrator.projections.read_models.contract import ProjectedRun

RUN = "018f0000-0000-7000-8000-000000000001"
WORKFLOW = Workflow("w", "1", {"a": Step("a", "s", ())})
TRIGGERED = RunTriggered(5, "w", "1", "digest", "manual", {})


def find(_tenant: str, _name: str, _version: str) -> Workflow:
    return WORKFLOW


def recorded(event: RunTriggered | RunStarted, version: int, position: int) -> Recorded:
    return Recorded(RUN, version, position, "acme", "ann", event)


def test_a_history_is_folded_to_its_end() -> None:
    # version 2 was passed over
    loaded = LoadedRun.fold([recorded(TRIGGERED, 1, 7), recorded(RunStarted(9, "worker"), 3, 12)], find)
    assert (loaded.run.id, loaded.run.status, loaded.run.version) == (RUN, "running", 3)
    assert (loaded.tenant, loaded.first_position, loaded.position, loaded.updated_at) == ("acme", 7, 12, 9)


def test_a_projected_run_folds_the_same_and_notes_what_is_touched() -> None:
    projected = ProjectedRun.fold([recorded(TRIGGERED, 1, 7)], find)
    projected.take(recorded(RunStarted(9, "worker"), 2, 8))
    assert (projected.run.version, projected.position, projected.touched) == (2, 8, set())


def test_a_run_begins_with_its_trigger() -> None:
    with pytest.raises(ValueError, match="a run does not begin with RunStarted"):
        LoadedRun.fold([recorded(RunStarted(9, "worker"), 1, 1)], find)
