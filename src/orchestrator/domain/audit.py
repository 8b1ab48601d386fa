"""Whether a run's history could have happened: every fault of it, in words.

Proved twice, since a rule that is wrong would find itself in order: the decider is asked again about each
event (`_refusals`), and a ledger that knows nothing of it keeps its own accounts (`_Ledger`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

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
from orchestrator.domain.run import Run
from orchestrator.domain.workflow import Workflow

Versioned = tuple[int, RunEvent]
"""An event with its version: its 1-based place in the stream."""


def faults(run_id: str, workflow: Workflow, history: Sequence[Versioned]) -> list[str]:
    """Return everything that is wrong with a run's history; nothing when it could have happened.

    Versions have no gaps, the decider accepts every event in the state it was recorded in, terminal states
    are final, no step starts before what it depends on is done, none starts or completes again once done.

    Args:
        run_id: of the run.
        workflow: the definition it started with.
        history: its stream from the first event on, complete.
    """
    if not history:
        return [f"run {run_id} has no events"]
    found = [
        f"event {place} of the stream has version {version}"
        for place, (version, _) in enumerate(history, 1)
        if version != place
    ]
    first = history[0][1]
    if not isinstance(first, RunTriggered):
        return [*found, f"the stream begins with {type(first).__name__}, not with RunTriggered"]
    found += _misfits(workflow, first)
    strangers = [_told(one, "the workflow has no such step") for one in history if _stranger(one[1], workflow)]
    if found or strangers:
        return found + strangers
    return [*_Ledger(workflow, first).faults(history), *_refusals(begin(run_id, workflow, first), history)]


def _misfits(workflow: Workflow, trigger: RunTriggered) -> Iterator[str]:
    """Yield how a trigger does not fit the definition."""
    if (trigger.workflow_name, trigger.workflow_version) != (workflow.name, workflow.version):
        yield f"the run is of {trigger.workflow_name} {trigger.workflow_version}, not of {workflow.name}"
    elif trigger.workflow_digest != workflow.digest:
        yield f"{workflow.name} {workflow.version} has digest {workflow.digest}, not {trigger.workflow_digest}"
    named = {*(trigger.impacted or ()), *trigger.forced}
    yield from (f"the trigger names step {step!r}, which is not there" for step in sorted(named - {*workflow.steps}))


def _stranger(event: RunEvent, workflow: Workflow) -> bool:
    return getattr(event, "step", None) not in {None, *workflow.steps}


def _told(versioned: Versioned, why: str) -> str:
    version, event = versioned
    step = getattr(event, "step", None)
    return f"version {version}, {type(event).__name__}{f' of {step}' if step else ''}: {why}"


def _refusals(run: Run, history: Sequence[Versioned]) -> list[str]:
    """Ask the decider again about every event; the first that it refuses ends it, for all after that is in doubt."""
    place = 1
    while place < len(history):
        version, event = history[place]
        if isinstance(event, RunTriggered | StepRetried):
            return [_told((version, event), "nothing leads to this event here")]
        try:
            earliest, latest = (decide(_command(event, jitter), run) for jitter in (-1.0, 1.0))
        except DomainError as error:
            return [_told((version, event), str(error))]
        recorded = tuple(event for _, event in history[place : place + len(earliest)])
        if not _same(earliest, latest, recorded):
            return [_told((version, event), f"decided again, it is {earliest}, not {recorded}")]
        for event in recorded:
            evolve(run, event)
        place += len(recorded)
    return []


def _same(earliest: Sequence[RunEvent], latest: Sequence[RunEvent], recorded: Sequence[RunEvent]) -> bool:
    """Whether these events were recorded; of a retry, chance decided when it is due, within bounds."""
    if len(recorded) != len(earliest):
        return False
    for low, high, event in zip(earliest, latest, recorded, strict=True):
        if isinstance(low, StepRetried) and isinstance(high, StepRetried) and isinstance(event, StepRetried):
            same = (low.at, low.step, low.next_attempt) == (event.at, event.step, event.next_attempt)
            if not (same and low.due_at <= event.due_at <= high.due_at):
                return False
        elif event != low:
            return False
    return True


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


@dataclass(slots=True)
class _Ledger:
    """What is done and under way, counted from the events alone."""

    workflow: Workflow
    trigger: RunTriggered
    executing: dict[str, int] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    failures: dict[str, list[StepFailed]] = field(default_factory=dict)
    pauses: dict[str, int] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    ended_by: str | None = None

    def faults(self, history: Sequence[Versioned]) -> list[str]:
        """Return what does not add up."""
        if self.trigger.impacted is not None:
            self.done = {*self.workflow.steps} - {*self.trigger.impacted}
        return [_told(one, why) for one in history[1:] for why in self._enter(one[1])]

    def _enter(self, event: RunEvent) -> Iterator[str]:
        if self.ended_by is not None:
            yield f"the run had ended by {self.ended_by}"
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
                    yield f"attempt {event.attempt} was not under way"
                if event.step in self.done:
                    yield "it had completed before"
                self.done.add(event.step)
            case StepFailed():
                if self.executing.pop(event.step, None) is None:
                    yield from self._begin(event.step)
                    yield from self._number(event.step, event.attempt)
                self.failures.setdefault(event.step, []).append(event)
            case StepRetried():
                yield from self._pause(event)
                self.pauses[event.step] = event.due_at
            case RunCompleted() if missing := {*self.workflow.steps} - self.done:
                yield f"not done: {', '.join(sorted(missing))}"
            case RunFailed() if self.executing:
                yield f"still under way: {', '.join(sorted(self.executing))}"
            case _:
                pass
        if isinstance(event, TERMINAL_EVENTS):
            self.ended_by = type(event).__name__

    def _begin(self, step: str) -> Iterator[str]:
        if step in self.done:
            yield "it was done before"
        if step in self.executing:
            yield f"attempt {self.executing[step]} was under way"
        lacking = [needed for needed in self.workflow.steps[step].depends_on if needed not in self.done]
        if lacking:
            yield f"it depends on {', '.join(lacking)}, not done yet"

    def _pause(self, event: StepRetried) -> Iterator[str]:
        """A retry comes when the policy says: attempts that were lost with their worker do not count."""
        failures = self.failures.get(event.step, [])
        policy = self.workflow.steps[event.step].retry
        if not failures or len(failures) >= policy.max_attempts:
            yield f"{len(failures)} attempts have failed, and {policy.max_attempts} are allowed"
            return
        try:
            grown = policy.backoff_ms * policy.multiplier ** (len(failures) - 1)
        except OverflowError:
            grown = policy.max_backoff_ms
        pause = min(grown, policy.max_backoff_ms)
        asked_for = failures[-1].error.retry_after_ms or 0
        low, high = (max(pause * (1 + sign * policy.jitter), asked_for) for sign in (-1, 1))
        if not low - 1 <= event.due_at - event.at <= high + 1:
            yield f"the pause is {event.due_at - event.at} ms, by the policy it is {low:g} to {high:g} ms"

    def _number(self, step: str, attempt: int) -> Iterator[str]:
        expected = self.attempts.get(step, 0) + 1
        if attempt != expected:
            yield f"attempt {attempt} follows attempt {expected - 1}"
        self.attempts[step] = attempt
