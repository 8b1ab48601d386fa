"""Tracks what is done and running in a run, from its events alone: an independent check of the decider."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from orchestrator.domain.events import (
    TERMINAL_EVENTS,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunRecovered,
    RunTriggered,
    StepCacheHit,
    StepCompleted,
    StepFailed,
    StepOmitted,
    StepRetried,
    StepStarted,
)
from orchestrator.domain.workflow import Workflow


@dataclass(slots=True)
class Ledger:
    """What is done and running in a run, tracked from its events alone.

    `without` are the steps that ended without a result: omitted, or failed and tolerated.
    """

    workflow: Workflow
    trigger: RunTriggered
    executing: dict[str, int] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    failures: dict[str, list[StepFailed]] = field(default_factory=dict)
    pauses: dict[str, int] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    without: set[str] = field(default_factory=set)
    ended_by: str | None = None

    def __post_init__(self) -> None:
        if self.trigger.impacted is not None:
            self.without = {*self.trigger.omitted}
            self.done = {*self.workflow.steps} - {*self.trigger.impacted} - self.without

    def enter(self, event: RunEvent) -> Iterator[str]:
        """Enter the next event and yield every inconsistency. The caller must exhaust the iterator."""
        if self.ended_by is not None:
            yield f"the run had already ended with {self.ended_by}"
        match event:
            case RunRecovered():
                self.executing.clear()
            case StepStarted():
                yield from self._begin(event.step)
                yield from self._number(event.step, event.attempt)
                if event.at < self.pauses.pop(event.step, event.at):
                    yield "the retry was not due yet"
                self.executing[event.step] = event.attempt
            case StepCacheHit():
                yield from self._begin(event.step)
                self.done.add(event.step)
            case StepCompleted():
                if self.executing.pop(event.step, None) != event.attempt:
                    yield f"attempt {event.attempt} was not running"
                if event.step in self.done:
                    yield "the step had already completed"
                self.done.add(event.step)
            case StepFailed():
                yield from self._fail(event)
            case StepOmitted():
                yield from self._omit(event)
                self.without.add(event.step)
            case StepRetried():
                yield from self._pause(event)
                self.pauses[event.step] = event.due_at
            case RunCompleted() if missing := {*self.workflow.steps} - self.done - self.without:
                yield f"not done: {', '.join(sorted(missing))}"
            case RunFailed() if self.executing:
                yield f"still running: {', '.join(sorted(self.executing))}"
            case _:
                pass
        if isinstance(event, TERMINAL_EVENTS):
            self.ended_by = type(event).__name__

    def _fail(self, event: StepFailed) -> Iterator[str]:
        if self.executing.pop(event.step, None) is None:
            yield from self._begin(event.step)
            yield from self._number(event.step, event.attempt)
        self.failures.setdefault(event.step, []).append(event)
        if event.tolerated:
            if self.workflow.steps[event.step].on_failure != "continue":
                yield "the workflow does not tolerate this failure"
            self.without.add(event.step)

    def _begin(self, step: str) -> Iterator[str]:
        yield from self._reach(step)
        lacking = [needed for needed in self.workflow.steps[step].depends_on if needed in self.without]
        if lacking:
            yield f"the step depends on {', '.join(lacking)}, which has no result"

    def _reach(self, step: str) -> Iterator[str]:
        """Check that a step has not ended, and that everything that it waits for has."""
        if step in self.done or step in self.without:
            yield "the step was already done"
        if step in self.executing:
            yield f"attempt {self.executing[step]} was still running"
        declared = self.workflow.steps[step]
        for kind, names in (("depends on", declared.depends_on), ("waits for", declared.after)):
            if unfinished := [name for name in names if name not in self.done and name not in self.without]:
                yield f"the step {kind} {', '.join(unfinished)}, not done yet"

    def _omit(self, event: StepOmitted) -> Iterator[str]:
        yield from self._reach(event.step)
        step = self.workflow.steps[event.step]
        if event.because is None and step.when is None:
            yield "the step has no condition"
        if event.because is not None and not (event.because in step.depends_on and event.because in self.without):
            yield f"the step does not lack the result of {event.because}"

    def _pause(self, event: StepRetried) -> Iterator[str]:
        """Check a retry against the policy: attempts that were lost with their worker do not count."""
        failures = self.failures.get(event.step, [])
        policy = self.workflow.steps[event.step].retry
        if not failures or len(failures) >= policy.max_attempts:
            yield f"{len(failures)} attempts have failed, but only {policy.max_attempts} are allowed"
            return
        try:
            backoff = policy.backoff_ms * policy.multiplier ** (len(failures) - 1)
        except OverflowError:
            backoff = policy.max_backoff_ms
        pause = min(backoff, policy.max_backoff_ms)
        requested = failures[-1].error.retry_after_ms or 0
        low, high = (max(pause * (1 + sign * policy.jitter), requested) for sign in (-1, 1))
        if not low - 1 <= event.due_at - event.at <= high + 1:
            yield f"the pause is {event.due_at - event.at} ms, but the policy requires {low:g} to {high:g} ms"

    def _number(self, step: str, attempt: int) -> Iterator[str]:
        expected = self.attempts.get(step, 0) + 1
        if attempt != expected:
            yield f"attempt {attempt} follows attempt {expected - 1}"
        self.attempts[step] = attempt
