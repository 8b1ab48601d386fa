"""Why steps were executed or reused."""

from typing import Any, Literal

from pydantic import Field

from orchestrator.api.shapes.shape import Shape


class CacheComponents(Shape):
    """The parts of a step's cache key. `inputHash` is the SHA-256 of the canonical JSON of `input`."""

    workflow: str
    step: str
    input_hash: str
    skill: str | None = Field(
        description="`id@version` of the skill that executed the step; null if the step was skipped."
    )
    input: Any


class CacheDifference(Shape):
    """A field that differs from the compared run: `skill`, or a path in the input. null means absent."""

    field: str = Field(examples=["input.brief.style"])
    before: Any
    after: Any


class StepCacheAnalysis(Shape):
    """Where a step's result came from, and why."""

    step_id: str
    verdict: Literal["hit", "unchanged", "reused", "miss", "failed", "pending"]
    reason: str
    cache_key: str | None
    components: CacheComponents | None
    compared_with_run_id: str | None = Field(
        description="The run whose result was used. For a miss, the base run or the run that stored a result last."
    )
    differences: list[CacheDifference]


class CacheAnalysis(Shape):
    """For each step of a run, in topological order, where its result came from."""

    run_id: str
    steps: list[StepCacheAnalysis]
