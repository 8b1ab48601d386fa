"""The built-in read models, which every projector maintains."""

from orchestrator.projections.read_models.artifacts import Artifacts
from orchestrator.projections.read_models.contract import ReadModel
from orchestrator.projections.read_models.run_steps import RunSteps
from orchestrator.projections.read_models.runs import Runs


def read_models() -> tuple[ReadModel, ...]:
    """Return the read models that the status endpoints query."""
    return Runs(), RunSteps(), Artifacts()


NAMES = tuple(model.name for model in read_models())
