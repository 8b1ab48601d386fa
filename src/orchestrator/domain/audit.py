"""Whether a run's history could have happened: every fault of it, in words.

Proved twice, since a rule that is wrong would find itself in order: the decider is asked again about each
event (`_Decider`), and a ledger that knows nothing of it keeps its own accounts.
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
    StepRetried,
    StepStarted,
)
from orchestrator.domain.evolve import begin, evolve
from orchestrator.domain.ledger import Ledger
from orchestrator.domain.run import Run
from orchestrator.domain.workflow import Workflow

Versioned = tuple[int, RunEvent]
"""An event with its version: its 1-based place in the stream."""


def faults(run_id: str, workflow: Workflow, history: Sequence[Versioned]) -> list[str]:
    """Return everything that is wrong with a run's history; nothing when it could have happened.

    Args:
        run_id: of the run.
        workflow: the definition it started with.
        history: its stream from the first event on, complete.
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
    """Looks at a run's events one after the other and says what is wrong with each.

    Versions have no gaps, the decider accepts every event in the state it was recorded in, terminal states
    are final, no step starts before what it depends on is done, none starts or completes again once done.

    What follows an event that is wrong is in doubt: of that only the versions are looked at.
    """

    def __init__(self, run_id: str, workflow: Workflow, version: int, trigger: RunTriggered) -> None:
        """Begin with a run's first event; what is wrong with that is in `found`. `is_over` says whether it ended."""
        self._workflow = workflow
        self._version = version
        self.found = [*_gap(1, version), *_misfits(workflow, trigger)]
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
        return [_told(version, event, why) for why in found]

    def end(self) -> list[str]:
        """Return what is wrong when nothing follows."""
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


def _misfits(workflow: Workflow, trigger: RunTriggered) -> Iterator[str]:
    """Yield how a trigger does not fit the definition."""
    if (trigger.workflow_name, trigger.workflow_version) != (workflow.name, workflow.version):
        yield f"the run is of {trigger.workflow_name} {trigger.workflow_version}, not of {workflow.name}"
    elif trigger.workflow_digest != workflow.digest:
        yield f"{workflow.name} {workflow.version} has digest {workflow.digest}, not {trigger.workflow_digest}"
    named = {*(trigger.impacted or ()), *trigger.forced}
    yield from (f"the trigger names step {step!r}, which is not there" for step in sorted(named - {*workflow.steps}))


def _told(version: int, event: RunEvent, why: str) -> str:
    step = getattr(event, "step", None)
    return f"version {version}, {type(event).__name__}{f' of {step}' if step else ''}: {why}"


class _Decider:
    """Asks the decider again about every event; the first that it refuses ends it, for all after that is in doubt."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._rest: list[tuple[RunEvent, RunEvent]] = []

    @property
    def missing(self) -> list[RunEvent]:
        """What the last decision led to and was not recorded."""
        return [low for low, _ in self._rest]

    def take(self, event: RunEvent) -> str | None:
        """Return why the next event cannot be, or None; the state moves on."""
        if not self._rest:
            if isinstance(event, RunTriggered | StepRetried):
                return "nothing leads to this event here"
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
        """Decide again; of a retry, chance decided when it is due, within bounds."""
        earliest = decide(_command(event, -1.0), self._run)
        latest = decide(_command(event, 1.0), self._run) if len(earliest) > 1 else earliest
        return list(zip(earliest, latest, strict=True))


def _difference(low: RunEvent, high: RunEvent, event: RunEvent) -> str | None:
    """Say how an event differs from what is decided again, or nothing."""
    if type(event) is not type(low):
        return f"decided again, a {type(low).__name__} comes here"
    if isinstance(low, StepRetried) and isinstance(high, StepRetried) and isinstance(event, StepRetried):
        due_at = min(max(low.due_at, event.due_at), high.due_at)
        low = StepRetried(low.at, low.step, low.next_attempt, due_at)
    if event == low:
        return None
    names = [field.name for field in fields(low) if getattr(event, field.name) != getattr(low, field.name)]
    told = (f"{name} is {getattr(low, name)!r}, not {getattr(event, name)!r}" for name in names)
    return f"decided again, {', '.join(told)}"


def _command(event: RunEvent, jitter: float) -> Command:
    """Return the command that an event came from."""
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
        case RunCompleted():
            return CompleteRun(event.at)
        case RunFailed():
            return FailRun(event.at)
        case RunCancelled():
            return CancelRun(event.at, event.reason, event.cancelled_by)
        case _:
            raise ValueError(f"no command leads to {event} by itself")
