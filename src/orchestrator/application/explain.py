"""Explains why a step's result came from the cache or not: the parts of its cache key, and what has changed.

Inputs are not stored. They are selected again from the recorded results, which gives the same values.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.cache.catalogue import CacheCatalogue
from orchestrator.cache.code_history import CodeHistory, Seen, has_changed
from orchestrator.domain.change import changed_paths
from orchestrator.domain.errors import UnknownStep
from orchestrator.domain.events import StepCacheInvalidated
from orchestrator.domain.output import StepError
from orchestrator.domain.run import Run, StepState, maker_of
from orchestrator.domain.selectors import Path
from orchestrator.eventstore.runs import LoadedRun, RunStore
from orchestrator.postgres.database import Database
from orchestrator.workers.context import OutputSource, RunContext

_ABSENT = object()
_YIELD_EVERY = 10


@dataclass(frozen=True, slots=True)
class Difference:
    """A part of the key that differs: its name (`input.style`, `skill`), and the values before and after."""

    field: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where the result of a step came from, and why.

    `verdict` is hit, unchanged, reused, miss, pending, or failed, which means that the step failed before it had a
    cache key. `compared_with` is the run whose result was used. For a miss, it is the run whose result could have been
    used (the base run, or else the run that stored a result last), and `differences` says what was different.
    """

    step: str
    verdict: str
    reason: str
    key: str | None = None
    components: Mapping[str, Any] = field(default_factory=dict)
    compared_with: str | None = None
    differences: tuple[Difference, ...] = ()


class CacheExplainer:
    """Explains the cache use of runs."""

    def __init__(
        self, database: Database, runs: RunStore, catalogue: CacheCatalogue, codes: CodeHistory, source: OutputSource
    ) -> None:
        self._database = database
        self._codes = codes
        self._runs = runs
        self._catalogue = catalogue
        self._source = source

    async def explain(self, tenant: str, run_id: str, steps: Sequence[str] | None = None) -> list[Explanation]:
        """Explain the given steps, or all steps of a run in topological order.

        Raises:
            RunNotFound: the run does not exist, or belongs to another tenant.
            UnknownStep: the workflow has no such step.
        """
        loaded = await self._database.call(self._runs.load, run_id, tenant)
        workflow = loaded.run.workflow
        for step in steps or ():
            if step not in workflow.steps:
                raise UnknownStep.of(workflow.name, step, workflow.steps)
        wanted = workflow.graph.order if steps is None else steps
        explaining = _Explaining(loaded, self._database, self._runs, self._catalogue, self._source)
        await explaining.look_back(wanted)
        called = {workflow.steps[step].skill for step in wanted}
        explaining.code_changes = await self._database.call(self._codes.changes, called)
        explained = []
        for number, step in enumerate(wanted):
            explained.append(await explaining.step(step))
            if number % _YIELD_EVERY == 0:
                await asyncio.sleep(0)  # most steps await nothing, and would block the event loop
        return explained

    async def input(self, tenant: str, loaded: LoadedRun, step: str) -> Any:
        """Return the input that a step of a run got, or None if it has not started. See `RunContext.resolve`."""
        if loaded.run.is_reused(step):
            loaded = await self._database.call(self._runs.load, loaded.run.maker(step), tenant)
        if loaded.run.step(step).input_hash is None:
            return None
        found = await RunContext(loaded.run, tenant, self._source).resolve(step)
        return None if isinstance(found, StepError) else found.value


class _Explaining:
    """The explanation of one run, with a cache of the runs that it is compared with."""

    def __init__(
        self,
        loaded: LoadedRun,
        database: Database,
        runs: RunStore,
        catalogue: CacheCatalogue,
        source: OutputSource,
    ) -> None:
        self.code_changes: Mapping[str, Sequence[Seen]] = {}
        self._run = loaded.run
        self._tenant = loaded.tenant
        self._database = database
        self._runs = runs
        self._catalogue = catalogue
        self._source = source
        self._context = RunContext(loaded.run, loaded.tenant, source)
        self._others: dict[str, tuple[Run, RunContext]] = {}
        self._earlier: dict[str, str] = {}
        self._withdrawals: Sequence[StepCacheInvalidated] = ()

    async def step(self, step: str) -> Explanation:
        """Explain one step."""
        run, state = self._run, self._run.step(step)
        if run.is_reused(step):
            maker = run.maker(step)
            return Explanation(
                step, "reused", f"not affected by the change; the result of run {maker} was reused", compared_with=maker
            )
        if state.cache_key is None:
            if state.status == "failed" and state.error is not None:
                return Explanation(step, "failed", state.error.message)
            return Explanation(step, "pending", "the step has not started")
        found = await self._context.resolve(step)
        value = None if isinstance(found, StepError) else found.value
        components = {
            "workflow": run.workflow.name,
            "step": step,
            "inputHash": state.input_hash,
            "skill": state.skill,
            "input": value,
        }
        if state.hit == "unchanged":
            reason = "the base run had the same input" + await self._code_note(step, state)
            return Explanation(step, "unchanged", reason, state.cache_key, components, state.source_run)
        if state.hit is not None:
            reason = "the cache had a result for this key" + await self._code_note(step, state)
            return Explanation(step, "hit", reason, state.cache_key, components, state.source_run)
        earlier = self._earlier.get(step)
        if earlier is None:
            return Explanation(step, "miss", self._alone(step, state), state.cache_key, components)
        differences = await self._differences(step, state, value, earlier)
        return Explanation(step, "miss", state.miss or "", state.cache_key, components, earlier, differences)

    async def look_back(self, steps: Sequence[str]) -> None:
        """Find the runs whose results the steps that missed the cache could have used."""
        run = self._run
        missed = {
            step: state.started_at or 0
            for step in steps
            if (state := run.step(step)).cache_key is not None and state.hit is None
        }
        for step in missed if run.trigger.reused else ():
            maker = maker_of(step, run.trigger.reused)
            if (await self._other(maker))[0].step(step).output is not None:
                self._earlier[step] = maker
        rest = {step: at for step, at in missed.items() if step not in self._earlier}
        if rest:
            self._earlier |= await self._database.call(
                self._catalogue.stored_before, self._tenant, run.workflow.name, run.id, rest
            )
        if rest.keys() - self._earlier.keys():
            self._withdrawals = await self._database.call(self._catalogue.withdrawals, self._tenant)

    async def _code_note(self, step: str, state: StepState) -> str:
        """Return a note if the code of a skill changed since it made a result, although its version did not."""
        if state.source_run is None or not self.code_changes:
            return ""
        made = (await self._other(state.source_run))[0].step(step)
        history = self.code_changes.get(made.skill or "", ())
        if made.ended_at is None or state.ended_at is None or not has_changed(history, made.ended_at, state.ended_at):
            return ""
        return f"; the code of {made.skill} changed since then, but its version did not"

    def _alone(self, step: str, state: StepState) -> str:
        """Return the reason of a miss when there is no earlier result to compare with."""
        at, workflow = state.started_at or 0, self._run.workflow.name
        for event in reversed(self._withdrawals):
            by_place = event.workflow == workflow and event.step in (None, step)
            if event.at <= at and (by_place or state.cache_key in event.keys):
                return f"{state.miss}; earlier results were withdrawn: {event.reason}"
        return state.miss or ""

    async def _differences(self, step: str, state: StepState, value: Any, earlier: str) -> tuple[Difference, ...]:
        """Return the parts of the key that differ from those of another run."""
        run, context = await self._other(earlier)
        before = run.step(step)
        picked = await context.resolve(step)
        differences = [] if isinstance(picked, StepError) else differing(picked.value, value)
        made_by = before.skill
        if before.source_run is not None:  # skipped in that run; the run that produced the result has the skill
            made_by = (await self._other(before.source_run))[0].step(step).skill
        if made_by is not None and made_by != state.skill:
            differences.append(Difference("skill", made_by, state.skill))
        return tuple(differences)

    async def _other(self, run_id: str) -> tuple[Run, RunContext]:
        if run_id not in self._others:
            other = await self._database.call(self._runs.load, run_id)
            self._others[run_id] = other.run, RunContext(other.run, other.tenant, self._source)
        return self._others[run_id]


def differing(before: Any, after: Any) -> list[Difference]:
    """Return the fields in which two inputs differ, with both values. None means absent."""
    return [
        Difference(".".join(("input", *path)), at_path(before, path), at_path(after, path))
        for path in changed_paths(before, after)
    ]


def at_path(value: Any, path: Path) -> Any:
    """Return the value at a path in nested objects, or None."""
    for name in path:
        value = value.get(name, _ABSENT) if isinstance(value, Mapping) else _ABSENT
    return None if value is _ABSENT else value


def explanation_view(explanation: Explanation) -> dict[str, Any]:
    """Return the JSON form of an explanation (camelCase)."""
    return {
        "stepId": explanation.step,
        "verdict": explanation.verdict,
        "reason": explanation.reason,
        "cacheKey": explanation.key,
        "components": dict(explanation.components) or None,
        "comparedWithRunId": explanation.compared_with,
        "differences": [
            {"field": found.field, "before": found.before, "after": found.after} for found in explanation.differences
        ],
    }
