"""Selectors: expressions that pick a step's input from the run's context, and what they read of it.

What an expression reads is found in its parsed form, so that a change request can be mapped to the steps
it touches without running anything. The law that partial rebuild rests on: when nothing that `reads` names
`is_touched` by the changes between two contexts (`change.changed_paths`), the selector picks the same from
both. Where an expression reaches through something dynamic (a list, a filter, a function) the answer is the
widest: a path that ends early means "everything below".
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
"""How many fields a path that `reads` returns names at most; it stands for everything below."""


def select(expression: str, context: Mapping[str, Any], budget: Budget | None = None) -> Any:
    """Return what an expression picks from the context; a path that leads nowhere picks None.

    What is picked is shared with the context, not copied.

    Raises:
        SelectorError: the expression does not parse, or met a value of a type it cannot take.
        BudgetExceeded: it takes more work than the budget has, `MAX_UNITS` units when None.
    """
    if (path := plain_path(expression)) is not None:
        return follow(path, context)
    node = parse(expression)
    try:
        return evaluate(node, context, budget)
    except SelectorError as error:
        raise SelectorError(f"{_shorten(expression)}: {error}") from error


def resolve_input(selectors: Input, context: Mapping[str, Any], budget: Budget | None = None) -> Any:
    """Return a step's input: a dict field by field, what one selector yields, or `{}`.

    All fields share the budget.

    Raises:
        SelectorError: a selector failed; the message starts with the field.
        BudgetExceeded: they take more work than the budget has, `MAX_UNITS` units when None; it names the field.
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
    """Return the paths of the context that an input reads, each as long as is certain.

    Raises:
        SelectorError: an expression does not parse.
    """
    if selectors is None:
        return frozenset()
    if isinstance(selectors, str):
        return _expression_reads(selectors)
    return frozenset().union(*(_expression_reads(expression) for expression in selectors.values()))


def is_touched(path: Path, changed: Iterable[Path]) -> bool:
    """Say whether reading `path` can see a change of one of the `changed` paths (one is a prefix of the other)."""
    return any(path[: len(other)] == other[: len(path)] for other in changed)


@lru_cache(maxsize=16384)
def _expression_reads(expression: str) -> frozenset[Path]:
    read: set[Path] = set()
    read |= _trace(parse(expression), frozenset({()}), read)
    return frozenset(read)


_Origins = frozenset[Path]
"""The places of the context that a value may be taken from as it is; none for a value that is made."""

_MADE: _Origins = frozenset()


def _trace(node: Node, at: _Origins, read: set[Path]) -> _Origins:
    """Return the origins of a node's value when evaluated on a value from `at`; note in `read` what it looks at.

    The value itself is not noted: whoever makes use of it does, or goes on below it.
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
            # the right side runs on the elements, which are part of the collection that is noted here
            read |= _trace(children[0], at, read)
            for child in children[1:]:
                read |= _trace(child, _MADE, read)
            return _MADE
        case "multi_select_dict" | "multi_select_list":
            inside: set[Path] = set()
            for child in children:
                inside |= _trace(child, at, inside)
            # nothing is made of null, so that there is a value at all is looked at too; a path that goes on
            # below it says as much, and the context itself is never null
            read |= inside | {path for path in at if path and not is_touched(path, inside)}
            return _MADE
        case "or_expression" | "and_expression":
            # the left value decides, whatever is made of it afterwards
            read |= _trace(children[0], at, read)
            return _trace(children[1], at, read)
        case "key_val_pair" | "comparator" | "not_expression" | "flatten" | "function_expression":
            for child in children:
                read |= _trace(child, at, read)
            return _MADE
        case "expref":
            # runs on the elements of another argument, which is noted as a whole
            read |= _trace(children[0], _MADE, read)
            return _MADE
        case _:
            # a kind of node that this was not written for: anything may have been looked at
            read.add(())
            return _MADE
