"""Workflows of a few words, with steps of the skill `test.work` that a `Journal` has."""

from typing import Any

from orchestrator.domain.workflow import CachePolicy, RetryPolicy, Step, Workflow

UNCACHED = CachePolicy(enabled=False)
ONCE = RetryPolicy()


def step(
    name: str,
    *needs: str,
    skill_id: str = "test.work",
    cache: CachePolicy = UNCACHED,
    retry: RetryPolicy = ONCE,
    timeout_ms: int | None = None,
    **selectors: str,
) -> Step:
    """A step; its selectors are JMESPath, a `ms` step sleeps so long."""
    return Step(name, skill_id, needs, selectors or None, cache, retry, timeout_ms)


def workflow(name: str, *steps: Step, **options: Any) -> Workflow:
    return Workflow(name, "1", {one.id: one for one in steps}, **options)
