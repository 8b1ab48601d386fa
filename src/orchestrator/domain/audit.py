"""Checks whether a run's history could have happened, and describes every fault in it.

There are two independent checks, because a wrong rule would confirm its own decisions: the decider decides each event
again (`_Decider`), and a ledger that shares no code with it tracks the run from the events alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import fields

from orchestrator.domain.commands import (
    BlockRun,
    CancelRun,
    Command,
    CompleteRun,
    CompleteStep,
    FailRun,
    FailStep,
    OmitStep,
    ReuseResult,
    StartStep,
    TakeRun,
)
from orchestrator.domain.decide import decide
from orchestrator.domain.errors import DomainError
from orchestrator.domain.events import (
    TERMINAL_EVENTS,
    RunBlocked,
    RunCancelled,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunRecovered,
    RunStarted,
    RunTriggered,
    StepCacheHit,
    StepCompleted,
    StepFailed,
    StepOmitted,
    StepRetried,
    StepStarted,
)
from orchestrator.domain.evolve import begin, evolve
from orchestrator.domain.ledger import Ledger
from orchestrator.domain.run import Run
from orchestrator.domain.workflow import Workflow

Versioned = tuple[int, RunEvent]
"""An event with its version, its 1-based place in the stream."""


def faults(run_id: str, workflow: Workflow, history: Sequence[Versioned]) -> list[str]:
    """Return everything that is wrong with a run's history; empty when it could have happened.

    Args:
        run_id: the id of the run.
        workflow: the definition that the run started with.
        history: the complete stream of the run.
    """
    if not history:
        return [f"run {run_id} has no events"]
    version, first = history[0]
    if not isinstance(first, RunTriggered):
        return [f"the stream begins with {type(first).__name__}, not with RunTriggered"]
    audit = HistoryAudit(run_id, workflow, version, first)
    found = list(audit.found)
    for version, event in history[1:]:
        found += audit.take(version, event)
    return [*found, *audit.end()]


class HistoryAudit:
    """Checks a run's events one by one and reports what is wrong with each.

    The rules: versions have no gaps, the decider accepts every event in the state in which it was recorded, terminal
    states are final, no step starts before its dependencies are done, and no step starts or completes again once done.

    After a faulty event the state is unknown, so only the versions of later events are checked.
    """

    def __init__(self, run_id: str, workflow: Workflow, version: int, trigger: RunTriggered) -> None:
        """Begin with a run's first event; its faults are in `found`. `is_over` is true once the run has ended."""
        self._workflow = workflow
        self._version = version
        self.found = [*_gap(1, version), *_trigger_mismatches(workflow, trigger)]
        self.is_over = False
        self._is_in_doubt = bool(self.found)
        self._ledger = Ledger(workflow, trigger)
        self._decider = None if self.found else _Decider(begin(run_id, workflow, trigger))

    def take(self, version: int, event: RunEvent) -> list[str]:
        """Return what is wrong with the next event."""
        found = _gap(self._version + 1, version)
        self._version = version
        self.is_over = self.is_over or isinstance(event, TERMINAL_EVENTS)
        if self._is_in_doubt or found:
            self._is_in_doubt = True
        elif getattr(event, "step", None) not in {None, *self._workflow.steps}:
            found, self._is_in_doubt = ["the workflow has no such step"], True
        else:
            found = [*self._ledger.enter(event), *self._refusals(event)]
        return [_describe(version, event, why) for why in found]

    def end(self) -> list[str]:
        """Return the faults of a history that ends here: the events that should still follow."""
        missing = [] if self._decider is None else self._decider.missing
        return [f"after version {self._version} a {type(event).__name__} is missing" for event in missing]

    def _refusals(self, event: RunEvent) -> list[str]:
        if self._decider is None:
            return []
        refusal = self._decider.take(event)
        if refusal is None:
            return []
        self._decider = None
        return [refusal]


def _gap(expected: int, version: int) -> list[str]:
    return [] if version == expected else [f"event {expected} of the stream has version {version}"]


def _trigger_mismatches(workflow: Workflow, trigger: RunTriggered) -> Iterator[str]:
    """Yield the ways in which a trigger does not match the definition."""
    if (trigger.workflow_name, trigger.workflow_version) != (workflow.name, workflow.version):
        yield f"the run is of {trigger.workflow_name} {trigger.workflow_version}, not of {workflow.name}"
    elif trigger.workflow_digest != workflow.digest:
        yield f"{workflow.name} {workflow.version} has digest {workflow.digest}, not {trigger.workflow_digest}"
    named = {*(trigger.impacted or ()), *trigger.forced, *trigger.omitted}
    yield from (f"the trigger names unknown step {step!r}" for step in sorted(named - {*workflow.steps}))


def _describe(version: int, event: RunEvent, why: str) -> str:
    step = getattr(event, "step", None)
    return f"version {version}, {type(event).__name__}{f' of {step}' if step else ''}: {why}"


class _Decider:
    """Decides every event again; stops at the first that differs, because the state after it is unknown."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._rest: list[tuple[RunEvent, RunEvent]] = []

    @property
    def missing(self) -> list[RunEvent]:
        """The events of the last decision that were not recorded."""
        return [low for low, _ in self._rest]

    def take(self, event: RunEvent) -> str | None:
        """Return why the next event cannot have happened, or None after folding it into the state."""
        if not self._rest:
            if isinstance(event, RunTriggered | StepRetried):
                return "no command leads to this event here"
            try:
                self._rest = self._decided(event)
            except DomainError as error:
                return str(error)
        low, high = self._rest.pop(0)
        difference = _difference(low, high, event)
        if difference is None:
            evolve(self._run, event)
        return difference

    def _decided(self, event: RunEvent) -> list[tuple[RunEvent, RunEvent]]:
        """Decide an event again, with the lowest and the highest jitter: a retry may be due at any time in between."""
        earliest = decide(_command(event, -1.0), self._run)
        latest = decide(_command(event, 1.0), self._run) if len(earliest) > 1 else earliest
        return list(zip(earliest, latest, strict=True))


def _difference(low: RunEvent, high: RunEvent, event: RunEvent) -> str | None:
    """Return how an event differs from what the decider decides, or None."""
    if type(event) is not type(low):
        return f"the decider expects {type(low).__name__} here"
    if isinstance(low, StepRetried) and isinstance(high, StepRetried) and isinstance(event, StepRetried):
        due_at = min(max(low.due_at, event.due_at), high.due_at)
        low = StepRetried(low.at, low.step, low.next_attempt, due_at)
    if event == low:
        return None
    names = [field.name for field in fields(low) if getattr(event, field.name) != getattr(low, field.name)]
    differences = (f"{name} {getattr(low, name)!r}, not {getattr(event, name)!r}" for name in names)
    return f"the decider expects {', '.join(differences)}"


def _command(event: RunEvent, jitter: float) -> Command:
    """Return the command that leads to an event."""
    match event:
        case RunStarted() | RunRecovered():
            return TakeRun(event.at, event.worker)
        case RunBlocked():
            return BlockRun(event.at, event.skills)
        case StepStarted():
            return StartStep(
                event.at, event.step, event.attempt, event.skill, event.input_hash, event.cache_key, event.miss
            )
        case StepCacheHit():
            return ReuseResult(
                event.at,
                event.step,
                event.input_hash,
                event.cache_key,
                event.output,
                event.source_run,
                event.reason,
            )
        case StepCompleted():
            return CompleteStep(event.at, event.step, event.attempt, event.output, event.output_hash, event.duration_ms)
        case StepFailed():
            return FailStep(event.at, event.step, event.attempt, event.error, event.duration_ms, jitter)
        case StepOmitted():
            return OmitStep(event.at, event.step, event.because)
        case RunCompleted():
            return CompleteRun(event.at)
        case RunFailed():
            return FailRun(event.at)
        case RunCancelled():
            return CancelRun(event.at, event.reason, event.cancelled_by)
        case _:
            raise ValueError(f"no command leads to {event} by itself")
