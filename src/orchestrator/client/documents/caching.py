"""Why steps were executed or reused."""

from typing import Any, Literal, TypedDict


class CacheComponents(TypedDict):
    """The parts of a step's cache key."""

    workflow: str
    step: str
    inputHash: str
    skill: str | None
    input: Any


class CacheDifference(TypedDict):
    """A field that differs from the compared run: `skill`, or a path in the input. None means absent."""

    field: str
    before: Any
    after: Any


class StepCacheAnalysis(TypedDict):
    """Where a step's result came from, and why."""

    stepId: str
    verdict: Literal["hit", "unchanged", "reused", "miss", "failed", "pending"]
    reason: str
    cacheKey: str | None
    components: CacheComponents | None
    comparedWithRunId: str | None
    differences: list[CacheDifference]
