"""Drive one run, from claim to end.

    take -> [begin ready steps -> commit -> launch -> await outcomes] ... -> finished

Each pass of the loop is one append: the outcomes since the last pass and the steps that begin now. The loop keeps no
state that is not in the run's events, so after a crash another driver continues from the same place.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from orchestrator.cache.answers import Answer, Entry, Granted, Hit, Question
from orchestrator.domain.commands import (
    BlockRun,
    Command,
    FailStep,
    OmitStep,
    ReuseResult,
    StartStep,
    TakeRun,
)
from orchestrator.domain.decide import decide, next_attempt
from orchestrator.domain.errors import StaleAttempt
from orchestrator.domain.events import RunEvent, StepCompleted
from orchestrator.domain.evolve import evolve
from orchestrator.domain.forcing import ALL_FORCED, FORCED
from orchestrator.domain.next_steps import BeginStep, next_due, next_steps
from orchestrator.domain.output import StepError
from orchestrator.domain.run import Run, maker_of
from orchestrator.eventstore.runs import RunStore
from orchestrator.skills.call import SkillCall
from orchestrator.skills.errors import WORKER_LOST
from orchestrator.telemetry.tracing import OFF, Tracing
from orchestrator.workers.attempts import Attempts
from orchestrator.workers.context import OutputSource, ResolvedInput, RunContext
from orchestrator.workers.executor import StepExecutor

MAX_LOSSES = 5
"""A run that lost this many workers before it recorded anything fails with WORKER_LOST."""

_LOOK_AGAIN_SECONDS = 30.0

Clock = Callable[[], int]
"""Returns the time in milliseconds since 1970 UTC."""


class ResultCache(Protocol):
    """The step cache, as a driver needs it."""

    async def consult(
        self, tenant: str, run_id: str, serving: Sequence[str], questions: Sequence[Question]
    ) -> list[Answer]:
        """Answer each question: a cached result, permission to make it, or a notice that another run is making it."""

    async def wait(self, key: str) -> None:
        """Wait until it makes sense to look up a key again."""

    def epoch(self, tenant: str) -> int | None:
        """Return the epoch to pass to `keep`; call this before the results are recorded."""

    def keep(self, tenant: str, epoch: int | None, made: Sequence[tuple[Question, Entry]]) -> None:
        """Store results that were just recorded in the fastest cache tiers."""


@dataclass(frozen=True, slots=True)
class WorkerServices:
    """The services that all drivers of a worker share.

    `abandon_seconds` is how long a cancelled skill may take to stop before its attempt is abandoned.
    """

    worker: str
    runs: RunStore
    executor: StepExecutor
    cache: ResultCache
    source: OutputSource
    clock: Clock
    max_parallel: int = 512
    tracing: Tracing = OFF
    abandon_seconds: float = 15.0


@dataclass(slots=True)
class RunDriver:
    """Drives one run for its worker; `drive` returns when the run is finished, blocked, handed over or lost.

    `losses` is how many workers the run has lost without making progress.
    """

    run: Run
    tenant: str
    around: WorkerServices
    losses: int = 0
    _context: RunContext = field(init=False)
    _attempts: Attempts = field(init=False)
    _unsaved: list[RunEvent] = field(default_factory=list)
    _busy: dict[str, asyncio.Task[None] | None] = field(default_factory=dict)
    _missing: dict[str, str] = field(default_factory=dict)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _handing_over: bool = False

    def __post_init__(self) -> None:
        self._context = RunContext(self.run, self.tenant, self.around.source)
        around = self.around
        self._attempts = Attempts(around.executor, around.clock, around.tracing, self._wake.set, around.abandon_seconds)

    async def drive(self) -> None:
        """Drive the run until it is finished, blocked or handed over.

        Raises:
            VersionConflict: another process wrote to the run, because it was cancelled or taken over. Its attempts
                have been cancelled.
        """
        with self.around.tracing.run(self.run, self.tenant, self.around.worker):
            await self._drive()

    async def _drive(self) -> None:
        try:
            dangerous = self.losses >= MAX_LOSSES and not self.run.executing
            self._apply(TakeRun(self.around.clock(), self.around.worker))
            if dangerous:
                self._give_up_run()
            while True:
                calls = await self._begin_steps()
                await self._commit()
                if self.run.is_finished or self._is_over():
                    return
                self._attempts.launch(calls)
                await self._await_outcomes()
        finally:
            await self._stop_tasks()

    def _give_up_run(self) -> None:
        """Fail the run before executing any of it: preparing its next event brought the earlier workers down."""
        step = next(iter((*self.run.ready, *self.run.due)), None)
        if step is not None:
            message = f"{self.losses} workers were lost while preparing a step of this run"
            error = StepError(WORKER_LOST, message, retryable=False)
            self._apply(FailStep(self.around.clock(), step, next_attempt(step, self.run), error, 0.0))

    def hand_over(self) -> None:
        """Start no more steps; `drive` returns once the executing ones have ended."""
        self._handing_over = True
        self._wake.set()

    def _is_over(self) -> bool:
        """Return whether nothing is executing and this worker will start nothing more of the run."""
        executing = self.run.executing.keys() - self._attempts.lost
        return not executing and (self._handing_over or self.run.status == "blocked")

    def _room(self) -> int:
        return self.around.max_parallel - len(self.run.executing)

    async def _begin_steps(self) -> list[SkillCall]:
        """Decide everything that can be decided now, and return the calls to launch.

        This loops because a step answered from the cache may make others ready.
        """
        calls: list[SkillCall] = []
        while not self._handing_over:
            if self.run.failed_step is not None:
                self._stop_waiting()
            steps = next_steps(self.run, self.around.clock(), self._room(), self._busy)
            if not steps:
                break
            beginning = [step for step in steps if isinstance(step, BeginStep)]
            for step in steps:
                if not isinstance(step, BeginStep):
                    self._apply(step)
            if self.run.failed_step is None:
                calls += await self._begin(beginning)
            if self.run.is_finished:
                break
        if self._missing and self._is_stuck():
            self._apply(BlockRun(self.around.clock(), tuple(sorted(set(self._missing.values())))))
        return calls

    def _is_stuck(self) -> bool:
        """Return whether the only steps left to begin are those whose skill this worker does not have."""
        if self.run.failed_step is not None or self.run.executing or self._busy.keys() != self._missing.keys():
            return False
        return next_due(self.run, self._room(), self._busy) is None

    def _stop_waiting(self) -> None:
        """After a step failed permanently, drop the steps that wait for a cached result or for a skill."""
        for waiting in self._busy.values():
            if waiting is not None:
                waiting.cancel()
        self._busy.clear()
        self._missing.clear()

    async def _begin(self, steps: Sequence[BeginStep]) -> list[SkillCall]:
        """Resolve the inputs, look them all up in the cache at once, and start the steps that must be executed."""
        resolved: list[tuple[BeginStep, str, ResolvedInput]] = []
        for begin in steps:
            step = self.run.workflow.steps[begin.step]
            if step.when is not None and not await self._may_begin(begin):
                continue
            skill = self.around.executor.skill(step.skill)
            if skill is None:
                self._missing[begin.step] = step.skill
                self._busy[begin.step] = None
                continue
            result = await self._context.resolve(begin.step)
            if isinstance(result, StepError):
                self._apply(FailStep(self.around.clock(), begin.step, begin.attempt, result, 0.0))
            else:
                resolved.append((begin, skill, result))
        if self.run.failed_step is not None:
            return []  # do not ask the cache: other runs would wait for results this run will not make
        answers = await self._consult(resolved)
        calls = []
        for begin, skill, found in resolved:
            answer = answers[begin.step]
            now = self.around.clock()
            if isinstance(answer, Hit):
                self._apply(
                    ReuseResult(
                        now,
                        begin.step,
                        found.input_hash,
                        found.cache_key,
                        answer.output,
                        answer.source_run,
                        answer.reason,
                    )
                )
            elif isinstance(answer, Granted):
                self._apply(
                    StartStep(now, begin.step, begin.attempt, skill, found.input_hash, found.cache_key, answer.miss)
                )
                calls.append(self._call(begin, found))
            else:
                self._busy[begin.step] = asyncio.create_task(self._retry_lookup(begin.step, found.cache_key))
        return calls

    async def _may_begin(self, begin: BeginStep) -> bool:
        """Return whether a step's condition is true; otherwise omit or fail the step."""
        if begin.attempt > 1:  # it was decided before the first attempt
            return True
        verdict = await self._context.condition(begin.step)
        if isinstance(verdict, StepError):
            self._apply(FailStep(self.around.clock(), begin.step, begin.attempt, verdict, 0.0))
        elif not verdict:
            self._apply(OmitStep(self.around.clock(), begin.step))
        return verdict is True

    async def _consult(self, resolved: Sequence[tuple[BeginStep, str, ResolvedInput]]) -> Mapping[str, Answer]:
        """Ask the cache about the steps that use it; grant the others."""
        answers: dict[str, Answer] = {}
        questions = []
        for begin, skill, found in resolved:
            if begin.step in self.run.forced:
                answers[begin.step] = Granted(self._why_forced())
            elif not self.run.workflow.steps[begin.step].cache.enabled:
                answers[begin.step] = Granted("the step's cachePolicy is off")
            else:
                questions.append(self._question(begin.step, skill, found))
        if questions:
            base = self.run.trigger.base_run_id
            serving = [self.run.id] if base is None else [self.run.id, base]
            replies = await self.around.cache.consult(self.tenant, self.run.id, serving, questions)
            answers |= {question.step: reply for question, reply in zip(questions, replies, strict=True)}
        return answers

    def _why_forced(self) -> str:
        trigger = self.run.trigger
        if trigger.trigger_type == "update":
            return "forced"
        return ALL_FORCED if len(self.run.forced) == len(self.run.workflow.steps) else FORCED

    def _question(self, step_id: str, skill: str, found: ResolvedInput) -> Question:
        policy = self.run.workflow.steps[step_id].cache
        reused = self.run.trigger.reused
        return Question(
            step=step_id,
            key=found.cache_key,
            input_hash=found.input_hash,
            skill=skill,
            shared=policy.scope == "global",
            ttl_seconds=policy.ttl_seconds,
            earlier_run=maker_of(step_id, reused) if reused else None,
        )

    async def _retry_lookup(self, step_id: str, key: str) -> None:
        await self.around.cache.wait(key)
        self._busy.pop(step_id, None)
        self._wake.set()

    def _call(self, begin: BeginStep, found: ResolvedInput) -> SkillCall:
        step = self.run.workflow.steps[begin.step]
        return SkillCall(
            self.run.id,
            begin.step,
            begin.attempt,
            self.tenant,
            step.skill,
            found.value,
            step.timeout_ms,
            self.run.trigger.trace,
        )

    def _apply(self, command: Command) -> None:
        """Decide a command and fold its events; the next commit writes them."""
        for event in decide(command, self.run):
            evolve(self.run, event)
            self._unsaved.append(event)

    async def _commit(self) -> None:
        """Write the events decided since the last commit, in one append."""
        if self._unsaved:
            events, self._unsaved = self._unsaved, []
            epoch = self.around.cache.epoch(self.tenant)
            await self.around.runs.save(self.run, events, tenant=self.tenant, actor=self.around.worker)
            self._store_in_cache(events, epoch)

    def _store_in_cache(self, events: Sequence[RunEvent], epoch: int | None) -> None:
        """Store results that were just recorded, and that every run may use, in the fastest cache tiers."""
        made = []
        for event in events:
            if isinstance(event, StepCompleted):
                policy, state = self.run.workflow.steps[event.step].cache, self.run.steps[event.step]
                if policy.enabled and policy.scope == "global":
                    key, skill = state.cache_key or "", state.skill or ""
                    question = Question(event.step, key, state.input_hash or "", skill, True, policy.ttl_seconds)
                    made.append((question, Entry(skill, self.run.id, event.output, event.at)))
        if made:
            self.around.cache.keep(self.tenant, epoch, made)

    async def _await_outcomes(self) -> None:
        """Wait until an attempt has ended or a retry is due, and apply the outcomes."""
        loop = asyncio.get_running_loop()
        due_at = next_due(self.run, self._room(), self._busy)
        timer = None
        if due_at is not None and not self._handing_over:
            # The system clock may be changed while waiting, so no timer runs long before the clock is read again.
            seconds = min(max(0, due_at - self.around.clock()) / 1000, _LOOK_AGAIN_SECONDS)
            timer = loop.call_later(seconds, self._wake.set)
        await self._wake.wait()
        if timer is not None:
            timer.cancel()
        await asyncio.sleep(0)  # steps that end in the same turn of the loop share the append
        self._wake.clear()
        for outcome in self._attempts.take():
            with suppress(StaleAttempt):
                self._apply(outcome)
        if self._attempts.lost:
            self.hand_over()

    async def _stop_tasks(self) -> None:
        """Cancel everything in progress and wait for it to end."""
        waiting = [task for task in self._busy.values() if task is not None]
        for task in waiting:
            task.cancel()
        await self._attempts.end(self.run.id)
        if waiting:
            await asyncio.gather(*waiting, return_exceptions=True)
