"""Selectors: expressions that pick a step's input from the run's context, and the paths of the context they read.

The paths are found in the parsed expression, so that a change request can be mapped to the steps it affects
without running anything. Partial rebuild relies on this invariant: if no path returned by `reads`
`is_touched` by the changes between two contexts (`change.changed_paths`), the selector picks the same value from
both. Where an expression goes through something dynamic (a list, a filter, a function), the answer is
conservative: a path that ends early means "everything below".
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from orchestrator.domain.budget import Budget, BudgetExceeded
from orchestrator.domain.expressions import Node, SelectorError, evaluate, follow, parse, plain_path

__all__ = ["Input", "Path", "SelectorError", "is_touched", "reads", "resolve_input", "select"]

Path = tuple[str, ...]
"""Field names from the root of the context, `("trigger", "brief", "style")`; `()` is the whole context."""

Input = Mapping[str, str] | str | None
"""A step's input: a selector for each field, one selector that yields an object, or nothing."""

MAX_FIELDS = 16
"""The maximum number of fields in a path that `reads` returns; a longer path is cut and means everything below."""


def select(expression: str, context: Mapping[str, Any], budget: Budget | None = None) -> Any:
    """Return the value that an expression picks from the context; a path that does not exist picks None.

    The value is shared with the context, not copied.

    Raises:
        SelectorError: the expression does not parse, or cannot be applied to a value of this type.
        BudgetExceeded: the expression takes more work than the budget allows, `MAX_UNITS` units when None.
    """
    if (path := plain_path(expression)) is not None:
        return follow(path, context)
    node = parse(expression)
    try:
        return evaluate(node, context, budget)
    except SelectorError as error:
        raise SelectorError(f"{_shorten(expression)}: {error}") from error


def resolve_input(selectors: Input, context: Mapping[str, Any], budget: Budget | None = None) -> Any:
    """Return a step's input: a dict with one entry per selector, the value of a single selector, or `{}`.

    All fields share the budget.

    Raises:
        SelectorError: a selector failed; the message starts with the field.
        BudgetExceeded: the selectors take more work than the budget allows, `MAX_UNITS` units when None; the message
            names the field.
    """
    if selectors is None:
        return {}
    if isinstance(selectors, str):
        return select(selectors, context, budget)
    budget = budget or Budget()
    resolved = {}
    for name, expression in selectors.items():
        try:
            resolved[name] = select(expression, context, budget)
        except SelectorError as error:
            raise SelectorError(f"input.{name}: {error}") from error
        except BudgetExceeded:
            raise BudgetExceeded(f"input.{name}") from None
    return resolved


def _shorten(expression: str) -> str:
    text = repr(expression)
    return text if len(text) <= 200 else f"{text[:197]}..."


def reads(selectors: Input) -> frozenset[Path]:
    """Return the paths of the context that an input reads, each as specific as can be determined.

    Raises:
        SelectorError: an expression does not parse.
    """
    if selectors is None:
        return frozenset()
    if isinstance(selectors, str):
        return _expression_reads(selectors)
    return frozenset().union(*(_expression_reads(expression) for expression in selectors.values()))


def is_touched(path: Path, changed: Iterable[Path]) -> bool:
    """Return whether reading `path` can see a change of one of the `changed` paths (one is a prefix of the other)."""
    return any(path[: len(other)] == other[: len(path)] for other in changed)


@lru_cache(maxsize=16384)
def _expression_reads(expression: str) -> frozenset[Path]:
    read: set[Path] = set()
    read |= _trace(parse(expression), frozenset({()}), read)
    return frozenset(read)


_Origins = frozenset[Path]
"""The paths of the context that a value may be taken from unchanged; empty for a computed value."""

_MADE: _Origins = frozenset()


def _trace(node: Node, at: _Origins, read: set[Path]) -> _Origins:
    """Return the origins of a node's value when evaluated on a value from `at`; add the paths it reads to `read`.

    The path of the value itself is not added: the caller adds it, or continues below it.
    """
    children = node["children"]
    match node["type"]:
        case "field":
            return frozenset((*path, node["value"]) if len(path) < MAX_FIELDS else path for path in at)
        case "current" | "identity":
            return at
        case "literal":
            return _MADE
        case "subexpression" | "pipe" | "index_expression":
            for child in children:
                at = _trace(child, at, read)
            return at
        case "index" | "slice":
            # paths name fields only, so an element of a list counts as the list
            read |= at
            return _MADE
        case "projection" | "value_projection" | "filter_projection":
            # the right side runs on the elements, which are part of the collection added here
            read |= _trace(children[0], at, read)
            for child in children[1:]:
                read |= _trace(child, _MADE, read)
            return _MADE
        case "multi_select_dict" | "multi_select_list":
            inside: set[Path] = set()
            for child in children:
                inside |= _trace(child, at, inside)
            # the result of null is null, so whether there is a value is read as well; a path below it covers
            # that already, and the context itself is never null
            read |= inside | {path for path in at if path and not is_touched(path, inside)}
            return _MADE
        case "or_expression" | "and_expression":
            # the left value decides, however the result is used
            read |= _trace(children[0], at, read)
            return _trace(children[1], at, read)
        case "key_val_pair" | "comparator" | "not_expression" | "flatten" | "function_expression":
            for child in children:
                read |= _trace(child, at, read)
            return _MADE
        case "expref":
            # runs on the elements of another argument, which is read as a whole
            read |= _trace(children[0], _MADE, read)
            return _MADE
        case _:
            # an unknown type of node: it may read anything
            read.add(())
            return _MADE
