"""A workflow: its steps, their dependencies, and its change types. Plain data; each version is immutable.

Definitions from outside are validated and built in `workflows/`; this module assumes that they are valid.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from orchestrator.domain.errors import NeedsNewerProgram
from orchestrator.domain.fingerprint import fingerprint
from orchestrator.domain.graph import Graph, build_graph
from orchestrator.domain.selectors import Input, Path, reads

_WORDS = frozenset(
    {"workflowName", "version", "description", "steps", "changeTypes", "payloadSchema", "maxParallelSteps"}
)
_STEP_WORDS = frozenset(
    {
        "stepId",
        "skillId",
        "dependsOn",
        "after",
        "when",
        "onFailure",
        "input",
        "cachePolicy",
        "retryPolicy",
        "timeoutMs",
    }
)
_CACHE_WORDS = frozenset({"enabled", "scope", "ttlSeconds"})
_RETRY_WORDS = frozenset({"maxAttempts", "backoffMs", "maxBackoffMs", "multiplier", "jitter", "nonRetryable"})
_CHANGE_WORDS = frozenset({"seeds", "force"})

WORD_FORMATS: Mapping[str, int] = {"after": 2, "when": 2, "onFailure": 2}
"""The fields of definitions that were added after the first format, each with the format that added it."""

CacheScope = Literal["global", "run_only"]
OnFailure = Literal["fail", "continue"]


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """Whether a step's result is cached, and for which runs.

    `ttl_seconds` is how old a result from the cache may be, in every tier; None means any age.
    """

    enabled: bool = True
    scope: CacheScope = "global"
    ttl_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, and after which pause, a failed attempt is retried. `jitter` is a fraction of the pause."""

    max_attempts: int = 1
    backoff_ms: int = 1000
    max_backoff_ms: int = 60_000
    multiplier: float = 2.0
    jitter: float = 0.1
    non_retryable: tuple[str, ...] = ()

    def pause_ms(self, attempt: int, jitter: float) -> int:
        """Return the pause after failed attempt `attempt` (1-based), in ms; `jitter` is a random number in [-1, 1]."""
        try:
            backoff = self.backoff_ms * self.multiplier ** (attempt - 1)
        except OverflowError:
            backoff = float(self.max_backoff_ms)
        pause = min(backoff, self.max_backoff_ms)
        return max(0, round(pause * (1 + self.jitter * jitter)))


@dataclass(frozen=True, slots=True)
class Step:
    """One node of the graph: the skill it calls, its dependencies, and how its input is selected.

    `depends_on` are the steps whose results it needs, `after` those that it only waits for, however they end. `when` is
    an expression that decides whether it is executed, None for always. `on_failure` says whether its final failure
    fails the run.
    """

    id: str
    skill: str
    depends_on: tuple[str, ...] = ()
    input: Input = None
    cache: CachePolicy = CachePolicy()
    retry: RetryPolicy = RetryPolicy()
    timeout_ms: int | None = None
    after: tuple[str, ...] = ()
    when: str | None = None
    on_failure: OnFailure = "fail"

    @property
    def waits_for(self) -> tuple[str, ...]:
        """The steps that must have ended before this one begins."""
        return (*self.depends_on, *self.after) if self.after else self.depends_on

    @property
    def reads(self) -> frozenset[Path]:
        """The paths of the context that the step reads: for its input, and to decide whether it is executed."""
        return reads(self.input) if self.when is None else reads(self.input) | reads(self.when)


@dataclass(frozen=True, slots=True)
class ChangeType:
    """A named change: the steps it starts from (`None` means all), and whether they bypass the cache."""

    seeds: tuple[str, ...] | None
    force: bool = False


@dataclass(frozen=True)
class Workflow:
    """A definition: immutable once registered under its name and version."""

    name: str
    version: str
    steps: Mapping[str, Step]
    change_types: Mapping[str, ChangeType] = field(default_factory=dict)
    description: str = ""
    payload_schema: Mapping[str, Any] | None = None
    max_parallel_steps: int | None = None
    _reads: dict[str, frozenset[Path]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def reads_of(self, step_id: str) -> frozenset[Path]:
        """Return the paths of the context that a step reads, for its input and its condition."""
        found = self._reads.get(step_id)
        if found is None:
            found = self._reads[step_id] = self.steps[step_id].reads
        return found

    @cached_property
    def graph(self) -> Graph:
        """The graph of the steps."""
        return build_graph({step.id: step.waits_for for step in self.steps.values()})

    @cached_property
    def waiting(self) -> Mapping[str, int]:
        """The number of steps that each step waits for: the initial counters of every initial run."""
        return {step.id: len(step.waits_for) for step in self.steps.values()}

    @cached_property
    def roots(self) -> tuple[str, ...]:
        """The steps that wait for no other, in topological order."""
        return tuple(step for step in self.graph.order if not self.steps[step].waits_for)

    @cached_property
    def shows_outcomes(self) -> bool:
        """Whether selectors see how steps ended: a step has `after`, `when` or `onFailure`."""
        return any(step.after or step.when is not None or step.on_failure != "fail" for step in self.steps.values())

    @cached_property
    def uses_cache(self) -> bool:
        """Whether any step may reuse a result of another run."""
        return any(step.cache.enabled and step.cache.scope == "global" for step in self.steps.values())

    @cached_property
    def ranks(self) -> Mapping[str, int]:
        """The index of each step in topological order."""
        return {step: rank for rank, step in enumerate(self.graph.order)}

    @cached_property
    def readers(self) -> Mapping[Path, tuple[str, ...]]:
        """The steps that read each path of the context outside `steps` and `run`."""
        found: dict[Path, list[str]] = {}
        for step in self.steps.values():
            for path in step.reads:
                if path[:1] not in {("steps",), ("run",)}:
                    found.setdefault(path, []).append(step.id)
        return {path: tuple(steps) for path, steps in found.items()}

    @cached_property
    def format(self) -> int:
        """The format that a program must know to execute runs of this workflow."""
        return format_of(workflow_to_json(self)) if WORD_FORMATS else 1

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the canonical document, which identifies the content."""
        return fingerprint(workflow_to_json(self))


def workflow_to_json(workflow: Workflow) -> dict[str, Any]:
    """Return the document of a workflow as in files and over HTTP (camelCase), with all defaults filled in."""
    document: dict[str, Any] = {
        "workflowName": workflow.name,
        "version": workflow.version,
        "description": workflow.description,
        "steps": [_step_to_json(step) for step in workflow.steps.values()],
        "changeTypes": {
            name: {"seeds": "*" if change.seeds is None else list(change.seeds), "force": change.force}
            for name, change in workflow.change_types.items()
        },
    }
    if workflow.payload_schema is not None:
        document["payloadSchema"] = dict(workflow.payload_schema)
    if workflow.max_parallel_steps is not None:
        document["maxParallelSteps"] = workflow.max_parallel_steps
    return document


def _step_to_json(step: Step) -> dict[str, Any]:
    document: dict[str, Any] = {
        "stepId": step.id,
        "skillId": step.skill,
        "dependsOn": list(step.depends_on),
        "cachePolicy": {
            "enabled": step.cache.enabled,
            "scope": step.cache.scope,
            "ttlSeconds": step.cache.ttl_seconds,
        },
        "retryPolicy": {
            "maxAttempts": step.retry.max_attempts,
            "backoffMs": step.retry.backoff_ms,
            "maxBackoffMs": step.retry.max_backoff_ms,
            "multiplier": step.retry.multiplier,
            "jitter": step.retry.jitter,
            "nonRetryable": list(step.retry.non_retryable),
        },
    }
    if step.input is not None:
        document["input"] = step.input if isinstance(step.input, str) else dict(step.input)
    if step.timeout_ms is not None:
        document["timeoutMs"] = step.timeout_ms
    if step.after:
        document["after"] = list(step.after)
    if step.when is not None:
        document["when"] = step.when
    if step.on_failure != "fail":
        document["onFailure"] = step.on_failure
    return document


def format_of(document: Mapping[str, Any]) -> int:
    """Return the format that a definition needs: that of its newest field, 1 if all fields are in the first format."""
    if not WORD_FORMATS:
        return 1
    steps = document.get("steps") or ()
    parts = [document, *steps, *(document.get("changeTypes") or {}).values()]
    parts += [step.get(policy) or {} for step in steps for policy in ("cachePolicy", "retryPolicy")]
    return max((WORD_FORMATS.get(word, 1) for part in parts for word in part), default=1)


def workflow_from_json(document: Mapping[str, Any]) -> Workflow:
    """Return the workflow for a document that was already validated (`workflow_to_json` wrote it).

    Raises:
        NeedsNewerProgram: a newer program registered the workflow, with a field that this one does not know.
        KeyError, TypeError: the document was never validated; use `workflows.load_document` for those.
    """
    _require_known(document, _WORDS, document)
    for item in (document.get("changeTypes") or {}).values():
        _require_known(item, _CHANGE_WORDS, document)
    for item in document["steps"]:
        _require_known(item, _STEP_WORDS, document)
        _require_known(item.get("cachePolicy") or {}, _CACHE_WORDS, document)
        _require_known(item.get("retryPolicy") or {}, _RETRY_WORDS, document)
    steps = [_step_from_json(item) for item in document["steps"]]
    return Workflow(
        name=document["workflowName"],
        version=document["version"],
        steps={step.id: step for step in steps},
        change_types={
            name: ChangeType(None if item["seeds"] == "*" else tuple(item["seeds"]), item.get("force", False))
            for name, item in (document.get("changeTypes") or {}).items()
        },
        description=document.get("description", ""),
        payload_schema=document.get("payloadSchema"),
        max_parallel_steps=document.get("maxParallelSteps"),
    )


def _require_known(part: Mapping[str, Any], known: frozenset[str], document: Mapping[str, Any]) -> None:
    """Check that all fields of a part of a definition are known. An unknown field could change the part's meaning."""
    if not part.keys() <= known:
        name, version = document.get("workflowName"), document.get("version")
        words = ", ".join(sorted(part.keys() - known))
        raise NeedsNewerProgram(
            f"workflow {name} {version} has fields that this program does not know ({words}): "
            "a newer program registered it",
            workflowName=name,
            version=version,
            steps=len(document["steps"]),
        )


def _step_from_json(document: Mapping[str, Any]) -> Step:
    cache, retry = document.get("cachePolicy") or {}, document.get("retryPolicy") or {}
    default = RetryPolicy()
    selectors = document.get("input")
    return Step(
        id=document["stepId"],
        skill=document["skillId"],
        depends_on=tuple(document.get("dependsOn") or ()),
        input=dict(selectors) if isinstance(selectors, Mapping) else selectors,
        cache=CachePolicy(cache.get("enabled", True), cache.get("scope", "global"), cache.get("ttlSeconds")),
        retry=RetryPolicy(
            retry.get("maxAttempts", default.max_attempts),
            retry.get("backoffMs", default.backoff_ms),
            retry.get("maxBackoffMs", default.max_backoff_ms),
            retry.get("multiplier", default.multiplier),
            retry.get("jitter", default.jitter),
            tuple(retry.get("nonRetryable") or ()),
        ),
        timeout_ms=document.get("timeoutMs"),
        after=tuple(document.get("after") or ()),
        when=document.get("when"),
        on_failure=document.get("onFailure") or "fail",
    )
