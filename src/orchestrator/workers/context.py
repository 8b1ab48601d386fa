"""The document a step's selectors read, and the input they produce from it."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol

import orjson

from orchestrator.artifacts.errors import ArtifactGone
from orchestrator.domain.budget import MAX_UNITS, QUICK_UNITS, Budget, BudgetExceeded
from orchestrator.domain.errors import InputNotCanonical, ValueTooLarge
from orchestrator.domain.fingerprint import cache_key, canonical, canonical_value
from orchestrator.domain.output import Output, StepError, artifact_to_json
from orchestrator.domain.run import Run
from orchestrator.domain.selectors import Input, Path, SelectorError, resolve_input, select
from orchestrator.domain.workflow import Workflow

CONDITION_NOT_BOOLEAN = "CONDITION_NOT_BOOLEAN"

_SHOWN_CHARACTERS = 200
_QUICK_CHARACTERS = 4096
"""Selectors of up to this many characters are parsed on the event loop."""


class OutputSource(Protocol):
    """Provides the results of other runs, and data that is too large for the log."""

    async def outputs(self, tenant: str, run_id: str, steps: Sequence[str]) -> Mapping[str, Output]:
        """Return the outputs of those of the given steps that the run has completed."""

    async def data(self, tenant: str, output: Output) -> Any:
        """Return an output's data, fetched from the artifact store when the log holds only its hash."""


@dataclass(frozen=True, slots=True)
class ResolvedInput:
    """A step's input, its SHA-256, and the cache key of its result.

    `value` is parsed back from the canonical JSON of the input, so it is exactly what the hash covers.
    """

    value: Any
    input_hash: str
    cache_key: str


class RunContext:
    """The context of one run: the trigger, the change, and the results of completed steps."""

    def __init__(self, run: Run, tenant: str, source: OutputSource) -> None:
        self._run = run
        self._tenant = tenant
        self._source = source
        self._steps: dict[str, Any] = {}
        self._base_steps: dict[str, Any] = {}
        change = run.trigger.change
        self._document: dict[str, Any] = {
            "trigger": run.trigger.payload,
            "change": change.get("payload") if change else None,
            "base": {"runId": run.trigger.base_run_id, "steps": self._base_steps} if run.trigger.base_run_id else None,
            "steps": self._steps,
            "run": run.facts(tenant),
        }

    async def resolve(self, step_id: str) -> ResolvedInput | StepError:
        """Return the input of a step whose dependencies are done, or an error that says why it cannot be built."""
        workflow = self._run.workflow
        selectors = workflow.steps[step_id].input
        is_short = _characters(selectors) <= _QUICK_CHARACTERS
        try:
            for path in await _reads(workflow, step_id, is_short):
                await self._provide(path, step_id)
            value, input_hash = await self._resolve_and_hash(selectors, is_short)
        except (SelectorError, ArtifactGone) as error:
            return StepError("SKILL_INPUT_INVALID", f"step {step_id}: {error}", retryable=False)
        except InputNotCanonical as error:
            return StepError(error.code, f"step {step_id}: {error}", error.details, retryable=False)
        except BudgetExceeded as error:
            message = f"selecting {str(error) or 'the input'} takes more than {MAX_UNITS:,} units of work; select less"
            return StepError(ValueTooLarge.code, f"step {step_id}: {message}", retryable=False)
        return ResolvedInput(value, input_hash, cache_key(workflow.name, step_id, input_hash))

    async def condition(self, step_id: str) -> bool | StepError:
        """Return what a step's `when` says, or an error if it cannot be evaluated or is neither true nor false."""
        workflow = self._run.workflow
        when = workflow.steps[step_id].when
        if when is None:
            return True
        try:
            for path in await _reads(workflow, step_id, len(when) <= _QUICK_CHARACTERS):
                await self._provide(path, step_id)
            value = await self._select(when)
        except (SelectorError, ArtifactGone) as error:
            return _not_boolean(step_id, when, str(error))
        except BudgetExceeded:
            return _not_boolean(step_id, when, f"it takes more than {MAX_UNITS:,} units of work")
        if isinstance(value, bool):
            return value
        return _not_boolean(step_id, when, f"it is {_kind(value)}; compare it, for example with `null`")

    async def _select(self, expression: str) -> Any:
        """Evaluate an expression: on the event loop if that is quick, otherwise in a thread."""
        if len(expression) <= _QUICK_CHARACTERS:
            with suppress(BudgetExceeded):
                return select(expression, self._document, Budget(QUICK_UNITS))
        return await asyncio.to_thread(select, expression, self._document)

    async def _resolve_and_hash(self, selectors: Input, is_short: bool) -> tuple[Any, str]:
        """Resolve and hash an input: on the event loop if that is quick, otherwise in a thread."""
        if is_short:
            try:
                return _resolved_and_hashed(selectors, self._document, Budget(QUICK_UNITS), Budget(QUICK_UNITS))
            except BudgetExceeded:
                pass
        return await asyncio.to_thread(_resolved_and_hashed, selectors, self._document)

    async def _provide(self, path: tuple[str, ...], reader: str) -> None:
        """Load what a step's selector reads into the document.

        A step may read all of `steps` only if all other steps are its ancestors (see `workflows.validate`).
        """
        match path:
            case ("steps", step_id, *_):
                await self._provide_step(step_id)
            case ("steps",):
                for step_id in self._run.workflow.graph.ancestors(reader):
                    await self._provide_step(step_id)
            case ("base", "steps", step_id, *_) if self._run.trigger.base_run_id:
                await self._provide_base(step_id)
            case _:
                pass

    async def _provide_step(self, step_id: str) -> None:
        if step_id in self._steps or step_id not in self._run.workflow.steps:
            return
        if self._run.workflow.shows_outcomes and (view := self._without_result(step_id)) is not None:
            self._steps[step_id] = view
            return
        if self._run.is_reused(step_id):
            maker = self._run.maker(step_id)
            output = (await self._source.outputs(self._tenant, maker, [step_id])).get(step_id)
        else:
            output = self._run.step(step_id).output
        if output is not None:
            self._steps[step_id] = await self._view(output)
            if self._run.workflow.shows_outcomes:  # other workflows keep the input hashes that they always had
                self._steps[step_id]["outcome"] = "done"

    def _without_result(self, step_id: str) -> dict[str, Any] | None:
        """Return what selectors see of a step that ended without a result, or None if it has one."""
        state = self._run.step(step_id)
        if state.status == "omitted":
            return {"outcome": "omitted"}
        if state.status == "failed" and state.error is not None:
            return {"outcome": "failed", "error": {"code": state.error.code, "message": state.error.message}}
        return None

    async def _provide_base(self, step_id: str) -> None:
        base = self._run.trigger.base_run_id
        if base is None or step_id in self._base_steps:
            return
        output = (await self._source.outputs(self._tenant, base, [step_id])).get(step_id)
        if output is not None:
            self._base_steps[step_id] = await self._view(output)

    async def _view(self, output: Output) -> dict[str, Any]:
        data = output.data if output.data_ref is None else await self._source.data(self._tenant, output)
        return {"data": data, "artifacts": [artifact_to_json(artifact) for artifact in output.artifacts]}


async def _reads(workflow: Workflow, step_id: str, is_short: bool) -> frozenset[Path]:
    return workflow.reads_of(step_id) if is_short else await asyncio.to_thread(workflow.reads_of, step_id)


def _not_boolean(step_id: str, when: str, why: str) -> StepError:
    shown = when if len(when) <= _SHOWN_CHARACTERS else f"{when[:_SHOWN_CHARACTERS]}..."
    message = f"step {step_id}: when must be true or false: {shown}: {why}"
    return StepError(CONDITION_NOT_BOOLEAN, message, retryable=False)


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case str():
            return "a string"
        case int() | float():
            return "a number"
        case list() | tuple():
            return "a list"
        case _:
            return "an object"


def _resolved_and_hashed(
    selectors: Input, document: Mapping[str, Any], selecting: Budget | None = None, hashing: Budget | None = None
) -> tuple[Any, str]:
    """Return an input parsed back from its canonical JSON, and the SHA-256 of that JSON."""
    form = canonical(resolve_input(selectors, document, selecting), hashing)
    return canonical_value(form, orjson.loads), sha256(form).hexdigest()


def _characters(selectors: Input) -> int:
    if selectors is None:
        return 0
    return len(selectors) if isinstance(selectors, str) else sum(map(len, selectors.values()))
