"""Define workflows in Python with `define` and `step`. They are validated exactly like documents.

define(
    "greet.v1",
    "1.0.0",
    steps=[
        step("find", "people.find", input={"id": "trigger.personId", "polite": literal(True)}),
        step("greet", "text.greet", depends_on=["find"], input={"name": "steps.find.data.name"}),
    ],
    change_types={"person.update": ["find"]},
)
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.domain.workflow import CachePolicy, ChangeType, OnFailure, RetryPolicy, Workflow
from orchestrator.workflows.document import load_document
from orchestrator.workflows.validate import MAX_ATTEMPTS

StepDocument = Mapping[str, Any]
"""A step in its document form."""

Seeds = ChangeType | Sequence[str]
"""Where a change starts: step ids, `"*"` for all steps, or a `ChangeType` to force them."""


def define(
    name: str,
    version: str,
    steps: Sequence[StepDocument],
    *,
    change_types: Mapping[str, Seeds] | None = None,
    payload_schema: Mapping[str, Any] | None = None,
    description: str = "",
    max_parallel_steps: int | None = None,
    max_attempts_bound: int = MAX_ATTEMPTS,
) -> Workflow:
    """Return a workflow built from `step(...)` values.

    Raises:
        InvalidWorkflow: lists every fault of the definition, each with its place in the equivalent document.
    """
    document = {
        "workflowName": name,
        "version": version,
        "description": description,
        "steps": [dict(item) for item in steps],
        "changeTypes": {change: _change(seeds) for change, seeds in (change_types or {}).items()},
        "payloadSchema": None if payload_schema is None else dict(payload_schema),
        "maxParallelSteps": max_parallel_steps,
    }
    return load_document(document, f"workflow {name}", max_attempts_bound=max_attempts_bound)


def step(
    step_id: str,
    skill: str,
    depends_on: Sequence[str] = (),
    input: Mapping[str, str] | str | None = None,  # noqa: A002 - the same name as everywhere else
    *,
    cache: CachePolicy | bool = True,
    retry: RetryPolicy | int = 1,
    timeout_ms: int | None = None,
    after: Sequence[str] = (),
    when: str | None = None,
    on_failure: OnFailure = "fail",
) -> StepDocument:
    """Return one step for `define`.

    Args:
        step_id: The id of the step.
        skill: The id of the skill that it calls.
        depends_on: The ids of the steps that it waits for.
        input: A selector for each field, or one that yields an object.
        cache: The cache policy, or whether to cache at all.
        retry: The retry policy, or the number of attempts.
        timeout_ms: How long an attempt may take, in milliseconds.
        after: The ids of steps that it waits for, however they end.
        when: An expression that is true or false: whether the step is executed. None means always.
        on_failure: `continue` lets the run go on without the step's result when its last attempt has failed.
    """
    caching = CachePolicy(enabled=cache) if isinstance(cache, bool) else cache
    retrying = RetryPolicy(max_attempts=retry) if isinstance(retry, int) else retry
    return {
        "stepId": step_id,
        "skillId": skill,
        "dependsOn": _names(depends_on),
        "input": dict(input) if isinstance(input, Mapping) else input,
        "cachePolicy": {
            "enabled": caching.enabled,
            "scope": caching.scope,
            "ttlSeconds": caching.ttl_seconds,
        },
        "retryPolicy": {
            "maxAttempts": retrying.max_attempts,
            "backoffMs": retrying.backoff_ms,
            "maxBackoffMs": retrying.max_backoff_ms,
            "multiplier": retrying.multiplier,
            "jitter": retrying.jitter,
            "nonRetryable": list(retrying.non_retryable),
        },
        "timeoutMs": timeout_ms,
        "after": _names(after),
        "when": when,
        "onFailure": on_failure,
    }


def literal(value: Any) -> str:
    """Return the selector that yields a JSON value, whatever the context.

    Raises:
        TypeError, ValueError: the value is not JSON.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    # A backtick can only occur inside a JSON string, where the escape is equivalent.
    return "`" + text.replace("`", "\\u0060") + "`"


def _change(seeds: Seeds) -> dict[str, Any]:
    if isinstance(seeds, ChangeType):
        return {"seeds": "*" if seeds.seeds is None else list(seeds.seeds), "force": seeds.force}
    return {"seeds": _names(seeds)}


def _names(names: Sequence[str]) -> Any:
    """Return names as a list, but keep a string, so that `depends_on="plan"` is a fault and not four names."""
    return names if isinstance(names, str) else list(names)
