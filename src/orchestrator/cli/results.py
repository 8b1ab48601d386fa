"""The results of a run: the data of its last steps, or of one step."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.cli.complaint import Complaint, unknown

if TYPE_CHECKING:
    from orchestrator.application.calls import Calls

_DONE = ("completed", "skipped")


@dataclass(frozen=True, slots=True)
class Results:
    """The data of steps by their ids, and the status of those wanted steps that have no result."""

    data: Mapping[str, Any]
    missing: Mapping[str, str]


async def read_results(client: "Calls", run_id: str, step: str | None) -> Results:
    """Return the data of a step, or of all steps that no other step depends on, whatever its size.

    Raises:
        RunNotFound: the run does not exist.
        Complaint: the run has no such step, or none of the steps has a result.
    """
    run = await client.run(run_id)
    steps = {each["stepId"]: each for each in await client.steps(run_id)}
    if step is not None and step not in steps:
        raise unknown("step", step, steps, f"List the steps with `orchestrator steps {run_id}`.")
    wanted = [step] if step is not None else await _last_steps(client, run)
    data, missing = {}, {}
    for name in wanted:
        found = steps[name]
        if found["status"] not in _DONE:
            missing[name] = found["status"]
        else:
            data[name] = found["data"] if found["dataRef"] is None else await client.step_data(run_id, name)
    if not data:
        told = ", ".join(f"{name} is {status}" for name, status in missing.items())
        raise Complaint(f"Run {run_id} is {run['status']} and has no output: {told}", _next_step(run))
    return Results(data, missing)


async def _last_steps(client: "Calls", run: Mapping[str, Any]) -> list[str]:
    workflow = await client.workflow(run["workflowName"], run["workflowVersion"])
    needed = {name for step in workflow["steps"] for name in step.get("dependsOn") or ()}
    return [step["stepId"] for step in workflow["steps"] if step["stepId"] not in needed]


def _next_step(run: Mapping[str, Any]) -> str:
    if run["status"] in ("completed", "failed", "cancelled"):
        return f"`orchestrator steps {run['id']}` shows why."
    return f"Wait for it with `orchestrator wait {run['id']}`."
