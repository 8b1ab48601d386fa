"""Random workflows, payloads and changes, and the model that says what a run must come to."""

import random
from dataclasses import dataclass, field
from typing import Any

from orchestrator.domain.change import PAYLOAD_PATCH, ChangeRequest, merge_patch
from orchestrator.domain.selectors import resolve_input
from orchestrator.domain.workflow import Workflow
from orchestrator.workflows.document import load_document

FIELDS = ("a", "b", "c", "d")


def blur(value: Any, grain: int) -> int:
    """Return a number that follows from a value, coarse enough to stay the same under many changes of it."""
    return sum(ord(letter) for letter in repr(value)) // grain


@dataclass(slots=True)
class Case:
    """A workflow, a payload, and a chain of changes."""

    workflow: Workflow
    payload: dict[str, Any]
    changes: list[ChangeRequest]
    grains: dict[str, int] = field(default_factory=dict)

    def outputs(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return what every step must yield when all is made from scratch: the brute-force model."""
        made: dict[str, Any] = {}
        context = {"trigger": payload, "change": None, "base": None, "steps": made, "run": {}}
        for step_id in self.workflow.graph.order:
            value = resolve_input(self.workflow.steps[step_id].input, context)
            made[step_id] = {"data": {"v": blur(value["picked"], value["grain"])}, "artifacts": []}
        return {step_id: made[step_id]["data"] for step_id in made}


def random_case(source: random.Random, number: int) -> Case:
    """Return a case of up to nine steps and up to three changes."""
    steps: list[dict[str, Any]] = []
    for index in range(source.randint(1, 9)):
        needed = [step["stepId"] for step in steps if source.random() < 0.35]
        picked = [f"trigger.{name}" for name in FIELDS if source.random() < 0.25]
        picked += ["trigger.nested.x"] if source.random() < 0.15 else []
        picked += [f"steps.{name}.data.v" for name in needed if source.random() < 0.85]
        if source.random() < 0.05:
            picked.append("trigger")
        grain = source.choice((1, 7, 40, 100_000))
        scope = source.choice(("global", "global", "run_only"))
        steps.append(
            {
                "stepId": f"s{index}",
                "skillId": "test.blur",
                "dependsOn": needed,
                "input": {"picked": f"[{', '.join(picked)}]" if picked else "`[]`", "grain": f"`{grain}`"},
                "cachePolicy": {"enabled": source.random() < 0.8, "scope": scope},
            }
        )
    names = [step["stepId"] for step in steps]
    types = {
        f"type{index}": {
            "seeds": source.sample(names, source.randint(1, len(names))),
            "force": source.random() < 0.15,
        }
        for index in range(2)
    }
    document = {"workflowName": f"random.{number}", "version": "1", "steps": steps, "changeTypes": types}
    changes = []
    for _ in range(source.randint(1, 3)):
        force: Any = tuple(source.sample(names, 1)) if source.random() < 0.2 else source.random() < 0.1
        kind = source.choice((*types, PAYLOAD_PATCH, PAYLOAD_PATCH))
        changes.append(ChangeRequest(kind, _patch(source), force))
    return Case(load_document(document, "random"), merge_patch({}, _patch(source)), changes)


def _patch(source: random.Random) -> dict[str, Any]:
    patch: dict[str, Any] = {name: source.choice((None, 0, 1, "x", [1, 2])) for name in FIELDS if source.random() < 0.4}
    if source.random() < 0.3:
        patch["nested"] = source.choice(({"x": 1}, {"x": 2, "y": 1}, {"x": None}, None, 5))
    return patch
