"""What may happen: every rule that can refuse a command. A refusal raises a domain error and changes nothing.

`decide(command, run)` returns the events that the command leads to. It never changes the run: append the
events first, then `evolve`.
"""

from typing import assert_never

from orchestrator.domain.bounds import MAX_PRIORITY, MIN_PRIORITY
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
    TriggerRun,
)
from orchestrator.domain.errors import (
    CommandRefused,
    InvalidPayload,
    RunFinished,
    RunNotCancellable,
    StaleAttempt,
    UnknownStep,
)
from orchestrator.domain.events import (
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
from orchestrator.domain.run import Run
from orchestrator.domain.workflow import Workflow


def decide_trigger(command: TriggerRun, workflow: Workflow) -> RunTriggered:
    """Return the first event of a run.

    Raises:
        UnknownStep: `forced`, `impacted` or `omitted` names a step that the workflow does not have.
        InvalidPayload: the priority is out of bounds.
    """
    if not MIN_PRIORITY <= command.priority <= MAX_PRIORITY:
        message = f"must be from {MIN_PRIORITY:,} to {MAX_PRIORITY:,}"
        raise InvalidPayload(f"priority: {message}", faults=[{"path": "priority", "message": message}])
    for step_id in (*command.forced, *(command.impacted or ()), *command.omitted):
        if step_id not in workflow.steps:
            raise UnknownStep.of(workflow.name, step_id, workflow.steps)
    return RunTriggered(
        at=command.at,
        workflow_name=workflow.name,
        workflow_version=workflow.version,
        workflow_digest=workflow.digest,
        trigger_type=command.trigger_type,
        payload=command.payload,
        base_run_id=command.base_run_id,
        change=command.change,
        impacted=command.impacted,
        reused=command.reused,
        forced=command.forced,
        priority=command.priority,
        labels=command.labels,
        request=command.request,
        trace=command.trace,
        omitted=command.omitted,
    )


def decide(command: Command, run: Run) -> tuple[RunEvent, ...]:
    """Return the events that a command leads to.

    Raises:
        RunFinished: the run is in a terminal state.
        RunNotCancellable: the command is `CancelRun` and the run is in a terminal state.
        StaleAttempt: the named attempt is neither running nor due.
        UnknownStep: the workflow has no such step, or the step is not part of the run.
        CommandRefused: the run's state does not allow the command.
    """
    if run.is_finished:
        if isinstance(command, CancelRun):
            raise RunNotCancellable(f"run {run.id} is {run.status} and can no longer be cancelled")
        raise RunFinished(f"run {run.id} is already {run.status}")
    match command:
        case StartStep():
            return (_start_step(command, run),)
        case CompleteStep():
            _require_executing(command.step, command.attempt, run)
            return (
                StepCompleted(
                    command.at,
                    command.step,
                    command.attempt,
                    command.output,
                    command.output_hash,
                    command.duration_ms,
                ),
            )
        case ReuseResult():
            return (_reuse_result(command, run),)
        case FailStep():
            return _fail_step(command, run)
        case OmitStep():
            return (_omit_step(command, run),)
        case TakeRun():
            if run.owner is None:
                return (RunStarted(command.at, command.worker),)
            return (RunRecovered(command.at, command.worker, run.owner),)
        case BlockRun():
            return (RunBlocked(command.at, command.skills),)
        case CompleteRun():
            if run.unfinished:
                raise CommandRefused(f"run {run.id} still has {run.unfinished} unfinished steps")
            summary = run.summary()
            counts = (summary[status] for status in ("completed", "skipped", "omitted", "failed"))
            return (RunCompleted(command.at, *counts),)
        case FailRun():
            return (_fail_run(command, run),)
        case CancelRun():
            return (RunCancelled(command.at, command.reason, command.cancelled_by),)
        case _:
            assert_never(command)


def next_attempt(step_id: str, run: Run) -> int:
    """Return the number of a step's next attempt (1-based)."""
    state = run.steps.get(step_id)
    return 1 if state is None else state.attempt + 1


def _start_step(command: StartStep, run: Run) -> StepStarted:
    _require_ready(command.step, run)
    _require_input(command.step, run)
    if run.failed_step is not None:
        raise CommandRefused(f"step {run.failed_step!r} failed for good: no new steps start in run {run.id}")
    _require_next(command.step, command.attempt, run)
    return StepStarted(
        command.at,
        command.step,
        command.attempt,
        command.skill,
        command.input_hash,
        command.cache_key,
        command.miss,
    )


def _reuse_result(command: ReuseResult, run: Run) -> StepCacheHit:
    _require_ready(command.step, run)
    _require_input(command.step, run)
    return StepCacheHit(
        command.at,
        command.step,
        command.input_hash,
        command.cache_key,
        command.output,
        command.source_run,
        command.reason,
    )


def _omit_step(command: OmitStep, run: Run) -> StepOmitted:
    _require_ready(command.step, run)
    lacked = run.lacking.get(command.step)
    if command.because != lacked:
        raise CommandRefused(f"step {command.step!r} lacks the result of {lacked!r}, not of {command.because!r}")
    if lacked is None and run.workflow.steps[command.step].when is None:
        raise CommandRefused(f"step {command.step!r} has no condition and lacks nothing")
    return StepOmitted(command.at, command.step, command.because)


def _fail_step(command: FailStep, run: Run) -> tuple[RunEvent, ...]:
    """Return the failure, followed by a retry if the policy allows one."""
    if command.step in run.executing:
        _require_executing(command.step, command.attempt, run)
    else:
        # the input could not be resolved: the attempt failed before the skill was called
        _require_ready(command.step, run)
        _require_next(command.step, command.attempt, run)
    step = run.workflow.steps[command.step]
    policy = step.retry
    used = command.attempt - run.step(command.step).lost
    is_last = not command.error.retryable or command.error.code in policy.non_retryable or used >= policy.max_attempts
    tolerated = is_last and step.on_failure == "continue"
    failed = StepFailed(command.at, command.step, command.attempt, command.error, command.duration_ms, tolerated)
    if is_last:
        return (failed,)
    pause = policy.pause_ms(used, command.jitter)
    if command.error.retry_after_ms is not None:
        pause = max(pause, command.error.retry_after_ms)
    return (failed, StepRetried(command.at, command.step, command.attempt + 1, command.at + pause))


def _fail_run(command: FailRun, run: Run) -> RunFailed:
    error = None if run.failed_step is None else run.steps[run.failed_step].error
    if error is None:
        raise CommandRefused(f"no step of run {run.id} failed for good")
    if run.executing:
        raise CommandRefused(f"run {run.id} is still executing {', '.join(run.executing)}")
    return RunFailed(command.at, error, run.failed_step)


def _require_executing(step_id: str, attempt: int, run: Run) -> None:
    if run.executing.get(step_id) != attempt:
        raise StaleAttempt(f"attempt {attempt} of step {step_id!r} is not running in run {run.id}")


def _require_ready(step_id: str, run: Run) -> None:
    if step_id in run.ready or step_id in run.due:
        return
    if step_id not in run.waiting:
        raise UnknownStep(f"step {step_id!r} is not part of run {run.id}", step=step_id)
    raise StaleAttempt(f"step {step_id!r} of run {run.id} is {run.step(step_id).status}, not ready to start")


def _require_input(step_id: str, run: Run) -> None:
    if step_id in run.lacking:
        raise CommandRefused(f"step {step_id!r} needs the result of {run.lacking[step_id]!r}, which has none")


def _require_next(step_id: str, attempt: int, run: Run) -> None:
    expected = next_attempt(step_id, run)
    if attempt != expected:
        raise StaleAttempt(f"the next attempt of step {step_id!r} is {expected}, not {attempt}")
