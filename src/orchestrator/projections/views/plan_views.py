"""Views of plans: camelCase JSON, times in milliseconds (see docs/http-api)."""

from collections import Counter
from collections.abc import Mapping

from orchestrator.domain.plan import Plan
from orchestrator.projections.views.values import View


def plan_view(plan: Plan, plan_hash: str, durations: Mapping[str, float]) -> View:
    """Return the view of a plan; `durations` maps steps to the milliseconds they took when their results were made."""
    steps = [
        {
            "stepId": step.step,
            "skillId": plan.workflow.steps[step.step].skill,
            "action": step.action,
            "reason": step.reason,
            "chain": list(step.chain),
            "forced": step.step in plan.forced,
            "estimatedMs": durations.get(step.step),
        }
        for step in plan.steps()
    ]
    reused = sum(durations.get(str(step["stepId"]), 0.0) for step in steps if step["action"] == "reuse")
    return {
        "baseRunId": plan.base.run_id,
        "workflowName": plan.workflow.name,
        "workflowVersion": plan.workflow.version,
        "planHash": plan_hash,
        "triggerPayload": plan.payload,
        "steps": steps,
        "counts": {"run": 0, "may_run": 0, "reuse": 0, "omit": 0} | Counter(str(step["action"]) for step in steps),
        "estimatedMs": sum(durations.values()) - reused,
        "savedMs": reused,
    }
