"""What a step's selectors see, and the input they make of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from orchestrator.artifacts.errors import ArtifactGone
from orchestrator.domain.errors import InputNotCanonical
from orchestrator.domain.fingerprint import cache_key, fingerprint
from orchestrator.domain.output import Output, StepError, artifact_to_json
from orchestrator.domain.run import Run
from orchestrator.domain.selectors import SelectorError, resolve_input


class OutputSource(Protocol):
    """Where the results of other runs come from, and data too large for the log."""

    async def outputs(self, tenant: str, run_id: str, steps: Sequence[str]) -> Mapping[str, Output]:
        """Return the outputs of steps that a run completed."""

    async def data(self, tenant: str, output: Output) -> Any:
        """Return an output's data, fetched from the artifact store when the log holds only its hash."""


@dataclass(frozen=True, slots=True)
class ResolvedInput:
    """A step's input with its SHA-256 and the key its result has in the cache."""

    value: Any
    input_hash: str
    cache_key: str


class RunContext:
    """The context of one run: the trigger, the change, and the results of the steps that are done."""

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
        """Return the input of a step whose dependencies are done, or why there is none."""
        step = self._run.workflow.steps[step_id]
        try:
            for path in self._run.workflow.reads_of(step_id):
                await self._provide(path, step_id)
            value = resolve_input(step.input, self._document)
            input_hash = fingerprint(value)
        except (SelectorError, ArtifactGone) as error:
            return StepError("SKILL_INPUT_INVALID", f"step {step_id}: {error}", retryable=False)
        except InputNotCanonical as error:
            return StepError(error.code, f"step {step_id}: {error}", error.details, retryable=False)
        return ResolvedInput(value, input_hash, cache_key(self._run.workflow.name, step_id, input_hash))

    async def _provide(self, path: tuple[str, ...], reader: str) -> None:
        """Make sure that what a step's selector reads is in the document.

        A step may read `steps` as a whole only if all other steps are its ancestors (see `workflows.validate`).
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
        if self._run.is_reused(step_id):
            maker = self._run.maker(step_id)
            output = (await self._source.outputs(self._tenant, maker, [step_id])).get(step_id)
        else:
            output = self._run.step(step_id).output
        if output is not None:
            self._steps[step_id] = await self._view(output)

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
