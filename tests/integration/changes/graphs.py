"""Random workflows, payloads and changes, and the model that says what a run must come to."""

import random
from dataclasses import dataclass, field
from typing import Any

from orchestrator.domain.change import PAYLOAD_PATCH, ChangeRequest, merge_patch
from orchestrator.domain.selectors import resolve_input, select
from orchestrator.domain.workflow import Step, Workflow
from orchestrator.workflows.document import load_document

FIELDS = ("a", "b", "c", "d")

Outcome = tuple[str, Any]
"""How a step ended (done, omitted or failed), and its data."""


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

    def outcomes(self, payload: dict[str, Any]) -> dict[str, Outcome]:
        """Return how every step must end when all is made from scratch: the brute-force model."""
        ended: dict[str, Outcome] = {}
        seen: dict[str, Any] = {}
        context = {"trigger": payload, "change": None, "base": None, "steps": seen, "run": {}}
        for step_id in self.workflow.graph.order:
            ended[step_id] = self._outcome(self.workflow.steps[step_id], ended, context)
            outcome, data = ended[step_id]
            seen[step_id] = {"outcome": outcome}
            if outcome == "done":
                seen[step_id] |= {"data": data, "artifacts": []}
        return ended

    @staticmethod
    def _outcome(step: Step, ended: dict[str, Outcome], context: dict[str, Any]) -> Outcome:
        if any(ended[needed][0] != "done" for needed in step.depends_on):
            return "omitted", None
        if step.when is not None and not select(step.when, context):
            return "omitted", None
        value = resolve_input(step.input, context)
        made = blur(value["picked"], value["grain"])
        return ("failed", None) if breaks(value, made) else ("done", {"v": made})


def breaks(value: dict[str, Any], made: int) -> bool:
    """Return whether the skill fails for this input."""
    return bool(value.get("fragile")) and made % 3 == 0


def random_case(source: random.Random, number: int, *, conditional: bool = False) -> Case:
    """Return a case of up to nine steps and up to three changes; `conditional` adds conditions and failures."""
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
        if conditional:
            _add_conditions(source, steps)
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


def _add_conditions(source: random.Random, steps: list[dict[str, Any]]) -> None:
    """Make the last step wait for more steps, run on a condition, or fail without failing its run."""
    step = steps[-1]
    others = [each["stepId"] for each in steps[:-1] if each["stepId"] not in step["dependsOn"]]
    step["after"] = [name for name in others if source.random() < 0.4]
    conditions = [f"trigger.{source.choice(FIELDS)} == `1`", f"not_null(trigger.{source.choice(FIELDS)}, `0`) != `0`"]
    conditions += [f"steps.{name}.data.v > `{source.choice((5, 60))}`" for name in step["dependsOn"]]
    conditions += [f"steps.{name}.outcome {source.choice(('==', '!='))} 'done'" for name in step["after"]]
    if source.random() < 0.45:
        step["when"] = source.choice(conditions)
    if source.random() < 0.3:
        step["onFailure"] = "continue"
        step["input"]["fragile"] = "`true`"
    if step["after"] and source.random() < 0.5:
        name = source.choice(step["after"])
        step["input"]["picked"] = f"[{step['input']['picked']}, steps.{name}.outcome, steps.{name}.data.v]"


def _patch(source: random.Random) -> dict[str, Any]:
    patch: dict[str, Any] = {name: source.choice((None, 0, 1, "x", [1, 2])) for name in FIELDS if source.random() < 0.4}
    if source.random() < 0.3:
        patch["nested"] = source.choice(({"x": 1}, {"x": 2, "y": 1}, {"x": None}, None, 5))
    return patch
