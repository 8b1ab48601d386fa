"""The progress of a run, folded from its events so that it can be shown at any moment."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Document = dict[str, Any]


TERMINAL = {"RunCompleted": "completed", "RunFailed": "failed", "RunCancelled": "cancelled"}


@dataclass(slots=True)
class StepProgress:
    """One step. `began` is an RFC 3339 time, `hit` is why its result was reused, `fraction` is 0 to 1.

    `failure` is the error of the latest failed attempt, as its event has it.
    """

    id: str
    depends_on: tuple[str, ...]
    status: str = "pending"
    attempt: int = 0
    began: str | None = None
    duration_ms: float | None = None
    hit: str | None = None
    error: str | None = None
    because: str | None = None
    failure: Mapping[str, Any] | None = None
    fraction: float | None = None
    doing: str = ""


@dataclass(slots=True)
class RunProgress:
    """A run and its steps, in the order of the definition."""

    run_id: str
    workflow: str
    steps: dict[str, StepProgress]
    status: str = "queued"
    began: str | None = None
    ended: str | None = None
    note: str = ""

    @property
    def is_over(self) -> bool:
        """Whether the run has ended."""
        return self.ended is not None

    def apply(self, event: Mapping[str, Any]) -> None:
        """Apply an event. An unknown event type changes nothing."""
        kind, data, at = event["type"], event["data"], event.get("at", "")
        if "step" in data and data["step"] in self.steps:
            self._apply_to_step(kind, data, at, self.steps[data["step"]])
        match kind:
            case "RunTriggered" if data["impacted"] is not None:
                for step_id in self.steps.keys() - set(data["impacted"]):
                    self.steps[step_id].status, self.steps[step_id].hit = "skipped", "reused"
                for step_id in self.steps.keys() & set(data.get("omitted", ())):
                    self.steps[step_id].status, self.steps[step_id].hit = "omitted", None
            case "RunStarted":
                self.status, self.began = "running", at
            case "RunRecovered":
                self.status, self.began, self.note = "running", self.began or at, f"taken over by {data['worker']}"
                for step in self.steps.values():
                    if step.status == "running":
                        step.status, step.error, step.fraction = "pending", "lost with its worker", None
            case "RunBlocked":
                self.status, self.note = "blocked", f"no worker knows {', '.join(data['skills'])}"
            case "RunCompleted" | "RunFailed" | "RunCancelled":
                self._end(kind, data, at)

    def _end(self, kind: str, data: Mapping[str, Any], at: str) -> None:
        self.status, self.ended, self.note = TERMINAL[kind], at, ""
        if kind == "RunFailed":
            self.note = f"{data['error']['code']}: {data['error']['message']}"
        if kind == "RunCancelled":
            self.note = " - ".join(word for word in (f"by {data['cancelledBy']}", data["reason"]) if word)
            for step in self.steps.values():
                if step.status in ("pending", "running"):
                    step.status = "cancelled"

    @staticmethod
    def _apply_to_step(kind: str, data: Mapping[str, Any], at: str, step: StepProgress) -> None:
        match kind:
            case "StepStarted":
                step.status, step.attempt, step.began = "running", data["attempt"], at
                step.fraction, step.doing = None, ""
            case "StepCacheHit":
                step.status, step.hit, step.error = "skipped", data["reason"], None
            case "StepCompleted":
                step.status, step.duration_ms, step.error = "completed", data["durationMs"], None
            case "StepFailed":
                step.status, step.attempt, step.duration_ms = "failed", data["attempt"], data["durationMs"]
                step.failure = data["error"]
                step.error = f"{data['error']['code']}: {data['error']['message']}"
            case "StepProgress" if step.status == "running" and step.attempt == data["attempt"]:
                step.fraction, step.doing = data["fraction"], data["message"]
            case "StepRetried":
                step.status = "pending"
            case "StepOmitted":
                step.status, step.because = "omitted", data["because"]


def begin_progress(run: Document, workflow: Document) -> RunProgress:
    """Return the progress of a run before its first event."""
    steps = {
        item["stepId"]: StepProgress(item["stepId"], tuple(item.get("dependsOn") or ())) for item in workflow["steps"]
    }
    return RunProgress(run["id"], f"{run['workflowName']} {run['workflowVersion']}", steps)


def count(steps: Iterable[StepProgress]) -> dict[str, int]:
    """Return the number of steps by status, without zeros."""
    counts: dict[str, int] = {}
    for step in steps:
        counts[step.status] = counts.get(step.status, 0) + 1
    return counts
