"""Forcing: which steps of a run are executed despite the cache."""

from orchestrator.domain.errors import UnknownStep
from orchestrator.domain.spelling import did_you_mean
from orchestrator.domain.workflow import Workflow

Force = tuple[str, ...] | bool
"""The ids of steps to execute despite the cache, or whether to execute all."""

FORCED = "forced by the trigger"
"""Why a step that the request of its run named took no result from the cache."""

ALL_FORCED = "every step is forced by the trigger (noCache)"
"""Why no step of a run took a result from the cache."""


def forced_steps(workflow: Workflow, force: Force, field: str = "force") -> tuple[str, ...]:
    """Return the ids of the steps that a request forces, each once; True forces every step.

    Raises:
        UnknownStep: the workflow does not have one of the steps; the message names `field` of the request.
    """
    if isinstance(force, bool):
        return tuple(workflow.steps) if force else ()
    for step in force:
        if step not in workflow.steps:
            hint = did_you_mean(step, workflow.steps)
            raise UnknownStep(f"{field} names step {step!r}, which {workflow.name} does not have{hint}", step=step)
    return tuple(dict.fromkeys(force))
