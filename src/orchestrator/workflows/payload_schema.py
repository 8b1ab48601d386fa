"""Payload schemas of workflows: self-contained JSON Schema, Draft 2020-12. Nothing is ever fetched."""

from collections.abc import Iterator, Mapping
from functools import cache
from itertools import islice
from typing import Any

import orjson
from jsonschema import Draft202012Validator, FormatChecker
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from orchestrator.documents.places import place, shorten
from orchestrator.domain.budget import Budget, BudgetExceeded
from orchestrator.domain.errors import MAX_FAULTS, Fault, InputNotCanonical
from orchestrator.workflows.patterns import PatternRefused, compile_cost, pattern
from orchestrator.workflows.schema_validator import first_errors, make_meta_validator, make_validator, resolver_of
from orchestrator.workflows.weighted_cache import WeightedCache

DIALECT = "https://json-schema.org/draft/2020-12/schema"

MAX_SCHEMA_UNITS = 1_000_000
"""The maximum cost, in budget units, of checking a schema when its workflow is registered."""

_MAX_KEPT_BYTES = 16 << 20  # size of the schemas as JSON; compiled, they take several times as much memory
_Parts = tuple[str | int, ...]
_ONE = frozenset(
    {"items", "not", "if", "then", "else", "contains", "additionalProperties", "propertyNames"}
    | {"unevaluatedItems", "unevaluatedProperties", "contentSchema"}
)
_LIST = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_NAMED = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
_REFERENCES = ("$ref", "$dynamicRef")


def misfits(
    digest: str, schema: Mapping[str, Any], payload: Any, *, root: str, most: int, budget: Budget
) -> list[tuple[str, str]]:
    """Return up to `most` problems of a payload, each as a path and a message.

    Args:
        digest: digest of the workflow, under which the compiled schema is cached.
        schema: payload schema of the workflow.
        payload: the payload as plain JSON values.
        root: name of the payload, with which every path starts.
        most: maximum number of problems.
        budget: maximum cost of the check.

    Raises:
        BudgetExceeded: the check costs more than the budget.
    """
    compiled = _compiled(digest, schema)
    try:
        errors = first_errors(compiled, payload, most, budget)
    except (RecursionError, Unresolvable) as error:
        return [("payloadSchema", f"cannot be applied to this payload: {type(error).__name__}")]
    except PatternRefused as error:  # registered before patterns were limited
        return [("payloadSchema", f"contains an unsupported pattern: {error}; register a version without it")]
    return [(place(error.absolute_path, root), shorten_message(error.message)) for error in errors]


def prepare(digest: str, schema: Mapping[str, Any]) -> None:
    """Compile the schema of a workflow in advance, so that checking the first payload is fast."""
    _compiled(digest, schema)


_kept: WeightedCache[str, Any] = WeightedCache(_MAX_KEPT_BYTES)


def _compiled(digest: str, schema: Mapping[str, Any]) -> Any:
    """Return the validator for the schema of a workflow."""
    compiled = _kept.get(digest)
    if compiled is None:
        compiled = make_validator(schema)
        _kept.put(digest, compiled, 1_000 + len(orjson.dumps(schema)))
    return compiled


def schema_faults(schema: dict[str, Any]) -> list[Fault]:
    """Return the faults of a payload schema, with paths that start at `payloadSchema`.

    The list may hold more than `MAX_FAULTS` entries.
    """
    dialect = schema.get("$schema", DIALECT)
    if not isinstance(dialect, str) or dialect.rstrip("#") != DIALECT:
        return [Fault("payloadSchema.$schema", f"must be {DIALECT}, not {shorten(dialect)}")]
    try:
        return _faults(schema)
    except InputNotCanonical:  # for example NaN among `uniqueItems`; `plain_faults` reports its place
        return []
    except BudgetExceeded:
        return [Fault("payloadSchema", f"takes more than {MAX_SCHEMA_UNITS:,} units of work to check; simplify it")]


@cache
def _meta_validator() -> Any:
    # We check patterns ourselves: the library's `regex` format uses `re`, whose syntax differs from RE2.
    return make_meta_validator(FormatChecker(set(Draft202012Validator.FORMAT_CHECKER.checkers) - {"regex"}))


def _faults(schema: dict[str, Any]) -> list[Fault]:
    budget = Budget(MAX_SCHEMA_UNITS)
    faults = [
        Fault(place(error.absolute_path, "payloadSchema"), f"invalid JSON Schema: {shorten_message(error.message)}")
        for error in first_errors(_meta_validator(), schema, MAX_FAULTS + 1, budget)
    ]
    faults += islice(_part_faults(schema, None if faults else resolver_of(schema), budget), MAX_FAULTS + 1)
    if not faults:
        try:
            first_errors(make_validator(schema), {}, 1, budget)
        except RecursionError:
            faults.append(Fault("payloadSchema", "contains an endless chain of references"))
    return faults


def shorten_message(message: str) -> str:
    """Return a validator message, shortened to a readable length because it may quote a large value."""
    return message if len(message) <= 300 else f"{message[:200]} ... {message[-90:]}"


def _part_faults(schema: dict[str, Any], root: Any, budget: Budget) -> Iterator[Fault]:
    """Yield faults for references that cannot be resolved and for unsupported patterns.

    `root` is the resolver. If it is None, because the schema is invalid, references inside the schema are not resolved.
    """
    for parts, part, resolver in _subschemas(schema, (), root):
        for where, text in _patterns(part):
            try:
                budget.spend(compile_cost(text))
                pattern(text)
            except PatternRefused as error:
                message = f"unsupported pattern {shorten(text)}: {error}"
                yield Fault(place((*parts, *where), "payloadSchema"), message)
        for keyword in _REFERENCES:
            target = part.get(keyword)
            if not isinstance(target, str):
                continue
            where_from = place((*parts, keyword), "payloadSchema")
            if not target.startswith("#"):
                yield Fault(where_from, f"must be a reference inside the schema (#...), not {shorten(target)}")
                continue
            try:
                if resolver is not None:
                    resolver.lookup(target)
            except Unresolvable:
                yield Fault(where_from, f"unresolvable reference {shorten(target)}")


def _patterns(part: dict[str, Any]) -> Iterator[tuple[_Parts, str]]:
    """Yield the patterns of a schema, each with its place. Patterns of its subschemas are not included."""
    text, named = part.get("pattern"), part.get("patternProperties")
    if isinstance(text, str):
        yield ("pattern",), text
    if isinstance(named, dict):
        for name in named:
            yield ("patternProperties", name), name


def _subschemas(schema: Any, parts: _Parts, resolver: Any) -> Iterator[tuple[_Parts, dict[str, Any], Any]]:
    """Yield a schema and all of its subschemas, each with its place and the resolver for its references.

    Data, such as the values of `enum`, is not searched.
    """
    if not isinstance(schema, dict):
        return
    if resolver is not None and parts and isinstance(schema.get("$id"), str):
        resolver = resolver.in_subresource(DRAFT202012.create_resource(schema))
    yield parts, schema, resolver
    for keyword, value in schema.items():
        if keyword in _ONE:
            yield from _subschemas(value, (*parts, keyword), resolver)
        elif keyword in _LIST and isinstance(value, list):
            for index, item in enumerate(value):
                yield from _subschemas(item, (*parts, keyword, index), resolver)
        elif keyword in _NAMED and isinstance(value, dict):
            for name, item in value.items():
                yield from _subschemas(item, (*parts, keyword, name), resolver)
