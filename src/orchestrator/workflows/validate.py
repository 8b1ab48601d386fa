"""Validate the meaning of a workflow document: no cycles, known step ids, and selectors that can be resolved.

`faults` accepts a document whose shape may also be wrong. It checks the parts that it can and leaves the rest to
`shape`, so an author sees every fault in one pass.
"""

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from itertools import islice
from typing import Any

from orchestrator.documents.places import MAX_NAME, in_order, place, shorten
from orchestrator.domain.errors import MAX_FAULTS, Fault
from orchestrator.domain.graph import find_cycle
from orchestrator.domain.selectors import Path, SelectorError, reads
from orchestrator.domain.spelling import did_you_mean
from orchestrator.domain.workflow import Step, Workflow
from orchestrator.workflows.ancestry import Ancestry
from orchestrator.workflows.quoting import literal, name_to_quote
from orchestrator.workflows.shape import MAX_CHANGE_TYPES, MAX_STEPS

MAX_ATTEMPTS = 5
"""The default upper limit of `maxAttempts`; a setting may change it."""

BUILT_IN_CHANGE = "payload.patch"
"""The change type that every workflow has."""

_ROOTS = ("trigger", "change", "base", "steps", "run")
_MAX_HINTS = 20
_MAX_CYCLE = 20
_RESULT = ("data", "artifacts")
_OUTCOME = ("outcome", "error")
_RUN = ("id", "workflowName", "workflowVersion", "tenantId")


def faults(document: Mapping[str, Any], *, max_attempts_bound: int = MAX_ATTEMPTS) -> list[Fault]:
    """Return the semantic faults of a document, sorted by place; `shape_faults` checks its shape."""
    found = list(islice(_Check(document, max_attempts_bound).faults(), MAX_FAULTS + 1))
    schema = document.get("payloadSchema")
    if isinstance(schema, dict):
        from orchestrator.workflows.payload_schema import schema_faults  # noqa: PLC0415 - slow to import

        found += schema_faults(schema)
    return in_order(found)


def warnings(workflow: Workflow, known_skills: Set[str] | None = None) -> list[Fault]:
    """Return warnings: parts that are valid but probably unintended, such as selectors that are always null.

    At most `MAX_FAULTS` warnings are returned. `known_skills` holds the ids of all available skills; pass None to
    skip that check.
    """
    return in_order(islice(_warnings(workflow, known_skills), MAX_FAULTS))


def _warnings(workflow: Workflow, known_skills: Set[str] | None) -> Iterator[Fault]:
    closest = _Closest(known_skills or ())
    for index, step in enumerate(workflow.steps.values()):
        if known_skills is not None and step.skill not in known_skills:
            message = f"unknown skill {shorten(step.skill)}{closest(step.skill)}"
            yield Fault(place(("steps", index, "skillId")), message)
        shared = step.cache.enabled and step.cache.scope == "global"
        for where, expression in _read_by(step, index):
            for path in reads(expression):
                message = _warning(path, workflow, shared=shared)
                if not message and workflow.shows_outcomes:
                    message = _maybe_missing(path, step, workflow)
                if message:
                    yield Fault(place(where), message)
        if step.retry.max_attempts > 1 and step.retry.backoff_ms > step.retry.max_backoff_ms:
            message = f"exceeds maxBackoffMs, so every retry waits {step.retry.max_backoff_ms} ms"
            yield Fault(place(("steps", index, "retryPolicy", "backoffMs")), message)


def _read_by(step: Step, index: int) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield each expression of a step, with its place."""
    yield from _selectors(step.input, ("steps", index, "input"))
    if step.when is not None:
        yield ("steps", index, "when"), step.when


def _maybe_missing(path: Path, step: Step, workflow: Workflow) -> str:
    """Return a warning if a selector reads a result that may be missing although the step is executed."""
    match path:
        case ("steps", name, "data" | "artifacts", *_) if name not in (needed := _needed(workflow, step.id)):
            sources = (workflow.steps[each] for each in (name, *_needed(workflow, name)) if each not in needed)
            if any(source.when is not None or source.on_failure == "continue" for source in sources):
                return f"is null if {shorten(name)} is omitted or fails; its outcome says so"
    return ""


def _needed(workflow: Workflow, step_id: str) -> set[str]:
    """Return the steps whose results a step cannot do without, directly or indirectly."""
    found: set[str] = set()
    left = list(workflow.steps[step_id].depends_on)
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += workflow.steps[name].depends_on
    return found


def _warning(path: Path, workflow: Workflow, *, shared: bool) -> str:
    known = (*_RESULT, *_OUTCOME) if workflow.shows_outcomes else _RESULT
    match path:
        case ("run",) | ("run", "id", *_) if shared:
            return f"reads {'.'.join(path[:2])}, so no other run can reuse the result from the cache"
        case ("run", name, *_) if name not in _RUN:
            return f"run has no field {shorten(name)}, so this is always null; its fields are {', '.join(_RUN)}"
        case ("steps", step, name, *_) if name not in known:
            meant = f"; did you mean steps.{step}.data.{name}?" if len(name) <= MAX_NAME else ""
            return f"a step has only {' and '.join(known)}, so {shorten(name)} is always null{meant}"
        case _:
            return ""


@dataclass(frozen=True, slots=True)
class _Step:
    """The usable parts of a step: `id` is generated if missing.

    `depends_on` and `after` pair each name with its index in the list.
    """

    index: int
    id: str
    depends_on: tuple[tuple[int, str], ...]
    after: tuple[tuple[int, str], ...]
    document: Mapping[str, Any]

    @property
    def edges(self) -> Iterator[tuple[str, int, str]]:
        """Yield `(field, index, name)` for each step that this one waits for."""
        yield from (("dependsOn", entry, name) for entry, name in self.depends_on)
        yield from (("after", entry, name) for entry, name in self.after)


class _Check:
    """Checks one document, with one method for each kind of check."""

    def __init__(self, document: Mapping[str, Any], max_attempts_bound: int) -> None:
        steps = document.get("steps")
        changes = document.get("changeTypes")
        # Collections that are too long are skipped here: `shape_faults` reports them.
        self._changes: dict[str, Any] = (
            changes if isinstance(changes, dict) and len(changes) <= MAX_CHANGE_TYPES else {}
        )
        self._bound = max_attempts_bound
        self._steps = [
            _parsed_step(index, step)
            for index, step in enumerate(steps if isinstance(steps, list) and len(steps) <= MAX_STEPS else ())
            if isinstance(step, dict)
        ]
        self._first: dict[str, int] = {}
        self._edges: dict[str, list[str]] = {}
        for step in self._steps:
            self._first.setdefault(step.id, step.index)
            # A self-dependency is reported separately from cycles. Steps with the same id are merged here.
            self._edges.setdefault(step.id, []).extend(name for _, _, name in step.edges if name != step.id)
        self._direct = {step: frozenset(needed) for step, needed in self._edges.items()}
        self._ancestry = Ancestry(self._edges)
        self._closest = _Closest(self._first)
        self._hints_left = _MAX_HINTS

    def faults(self) -> Iterator[Fault]:
        for step in self._steps:
            if self._first[step.id] != step.index:
                message = f"duplicate step id {shorten(step.id)}, already used by steps[{self._first[step.id]}]"
                yield Fault(place(("steps", step.index, "stepId")), message)
            yield from self._dependencies(step)
            yield from self._policies(step)
            yield from self._inputs(step)
            yield from self._condition(step)
        yield from self._cycles()
        for name, change in self._changes.items():
            yield from self._change(name, change)

    def _dependencies(self, step: _Step) -> Iterator[Fault]:
        seen: dict[str, str] = {}
        for edge, entry, name in step.edges:
            path = place(("steps", step.index, edge, entry))
            if name in seen:
                yield Fault(path, f"duplicate entry {shorten(name)}, already listed as {seen[name]}")
            elif name == step.id:
                yield Fault(path, f"step {shorten(name)} {'depends on' if edge == 'dependsOn' else 'waits for'} itself")
            elif name not in self._first:
                yield Fault(path, f"unknown step {shorten(name)}{self._closest(name)}")
            seen.setdefault(name, f"{edge}[{entry}]")

    def _cycles(self) -> Iterator[Fault]:
        by_id = {step.id: step for step in reversed(self._steps)}
        for knot in self._ancestry.knots:
            declared = sorted(knot, key=lambda name: self._first[name])
            cycle = find_cycle({name: self._edges[name] for name in declared})
            if cycle is None:
                continue
            first = by_id[cycle[0]]
            edge, entry = next(((edge, at) for edge, at, name in first.edges if name == cycle[1]), ("dependsOn", 0))
            path = place(("steps", first.index, edge, entry))
            named = cycle if len(cycle) <= _MAX_CYCLE else [*cycle[: _MAX_CYCLE - 1], "...", cycle[-1]]
            listed = " -> ".join(name if len(name) <= MAX_NAME else shorten(name) for name in named)
            yield Fault(path, f"dependency cycle, where each step depends on the next: {listed}")

    def _policies(self, step: _Step) -> Iterator[Fault]:
        retry = step.document.get("retryPolicy")
        attempts = retry.get("maxAttempts") if isinstance(retry, dict) else None
        if isinstance(attempts, int) and attempts > self._bound:
            path = place(("steps", step.index, "retryPolicy", "maxAttempts"))
            yield Fault(path, f"must be at most {self._bound}, not {attempts}")

    def _inputs(self, step: _Step) -> Iterator[Fault]:
        where = ("steps", step.index, "input")
        selectors = step.document.get("input")
        if selectors is not None and not isinstance(selectors, str | dict):
            yield Fault(place(where), "must be a JMESPath expression (a string) or an object of such expressions")
            return
        for parts, expression in _selectors(selectors, where):
            if not isinstance(expression, str):
                message = f'must be a JMESPath expression, not {shorten(expression)}; write a literal as "`...`"'
                yield Fault(place(parts), message)
                continue
            yield from self._expression(expression, place(parts), step, may_be_literal=expression is not selectors)

    def _condition(self, step: _Step) -> Iterator[Fault]:
        when, where = step.document.get("when"), place(("steps", step.index, "when"))
        if isinstance(when, str):
            yield from self._expression(when, where, step, may_be_literal=False)
        elif when is not None:
            shown = f'{str(when).lower()}; write it as "`{str(when).lower()}`"' if isinstance(when, bool) else ""
            yield Fault(where, f"must be a JMESPath expression (a string), not {shown or shorten(when)}")

    def _expression(self, expression: str, where: str, step: _Step, *, may_be_literal: bool) -> Iterator[Fault]:
        try:
            paths = sorted(reads(expression))
        except SelectorError as error:
            hint = self._hint(expression, may_be_literal=may_be_literal)
            yield Fault(where, f"cannot parse {shorten(expression)}: {error}{hint}")
            return
        for path in paths:
            if wrong := self._unreadable(path, step):
                # A single word is more often meant as a string than as a path.
                is_word = path == (expression,) and expression not in _ROOTS and "did you mean" not in wrong
                hint = self._hint(expression, may_be_literal=may_be_literal) if is_word else ""
                yield Fault(where, wrong + hint)

    def _hint(self, expression: str, *, may_be_literal: bool) -> str:
        """Suggest a correction, at most `_MAX_HINTS` times, because each suggestion is parsed to verify it."""
        self._hints_left -= 1
        if self._hints_left < 0:
            return ""
        return name_to_quote(expression) or (literal(expression) if may_be_literal else "")

    def _unreadable(self, path: Path, step: _Step) -> str | None:
        """Return why a step cannot read a path, or None if it can."""
        match path:
            case ():
                return "reads the whole context, including the run's id and every step; select the fields you need"
            case ("steps",):
                return self._unreadable_steps(step)
            case ("steps", name, *_):
                return self._unreadable_step(name, step)
            case ("base",) | ("base", "steps"):
                return f"reads all of {'.'.join(path)}; read a single step (base.steps.ID) or base.runId"
            case (root, *_) if root not in _ROOTS:
                return f"unknown root {shorten(root)}, expected one of {', '.join(_ROOTS)}{did_you_mean(root, _ROOTS)}"
            case _:
                return None

    def _unreadable_steps(self, step: _Step) -> str | None:
        """Return why a step cannot read all steps: unless it runs after all others, the result depends on timing."""
        missing = next((name for name in self._first if name != step.id and not self._is_before(name, step)), None)
        if missing is None:
            return None
        reader = shorten(step.id)
        return f"reads all steps, but {shorten(missing)} is not an ancestor of {reader}; name the steps you need"

    def _unreadable_step(self, name: str, step: _Step) -> str | None:
        if name == step.id:
            return f"step {shorten(name)} reads its own result"
        where, quoted = place(("steps", name)), shorten(name)
        if name not in self._first:
            return f"reads {where}, but there is no step {quoted}{self._closest(name)}"
        if not self._is_before(name, step):
            return f"reads {where}, but {quoted} is not an ancestor of {shorten(step.id)}; add it to dependsOn"
        return None

    def _is_before(self, name: str, step: _Step) -> bool:
        return name in self._direct[step.id] or self._ancestry.is_ancestor(name, step.id)

    def _change(self, name: str, change: Any) -> Iterator[Fault]:
        where = ("changeTypes", name)
        if name == BUILT_IN_CHANGE:
            yield Fault(place(where), "is a built-in change type of every workflow and cannot be declared")
        seeds = change.get("seeds", "*") if isinstance(change, dict) else "*"
        if seeds == "*":
            return
        if isinstance(seeds, list) and len(seeds) > MAX_STEPS:
            yield Fault(place((*where, "seeds")), f"has {len(seeds):,} entries, more than {MAX_STEPS:,}")
            return
        if not isinstance(seeds, list) or not seeds:
            message = f'must be a list of step ids, or "*" for all steps, not {shorten(seeds)}'
            yield Fault(place((*where, "seeds")), message)
            return
        seen: dict[str, int] = {}
        for index, seed in enumerate(seeds):
            path = place((*where, "seeds", index))
            if not isinstance(seed, str):
                yield Fault(path, f"must be a step id, not {shorten(seed)}")
            elif seed in seen:
                yield Fault(path, f"duplicate entry {shorten(seed)}, already listed as seeds[{seen[seed]}]")
            elif seed not in self._first:
                yield Fault(path, f"unknown step {shorten(seed)}{self._closest(seed)}")
            if isinstance(seed, str):
                seen.setdefault(seed, index)


class _Closest:
    """Suggests the closest known name, at most 20 times, because each suggestion compares with every name."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = names
        self._left = 20

    def __call__(self, name: str) -> str:
        self._left -= 1
        return did_you_mean(name, self._names) if self._left >= 0 else ""


def _parsed_step(index: int, document: dict[str, Any]) -> _Step:
    step_id = document.get("stepId")
    return _Step(
        index,
        step_id if isinstance(step_id, str) else f"(steps[{index}])",
        _named(document.get("dependsOn")),
        _named(document.get("after")),
        document,
    )


def _named(names: Any) -> tuple[tuple[int, str], ...]:
    entries = enumerate(names if isinstance(names, list) and len(names) <= MAX_STEPS else ())
    return tuple((entry, name) for entry, name in entries if isinstance(name, str))


def _selectors(selectors: Any, where: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Yield each expression of an input, with its place."""
    if isinstance(selectors, str):
        yield where, selectors
    elif isinstance(selectors, Mapping):
        for name, expression in selectors.items():
            yield (*where, name), expression
