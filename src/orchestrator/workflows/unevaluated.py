"""Which properties and items a schema has evaluated (JSON Schema 2020-12 core, sections 11.2 and 11.3).

This follows `jsonschema`, but uses sets, our own pattern engine, and a budget.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.domain.budget import Budget
from orchestrator.workflows.patterns import matches

_ALTERNATIVES = ("allOf", "oneOf", "anyOf")


def evaluated_properties(validator: Any, instance: Mapping[str, Any], schema: Any, budget: Budget) -> set[str]:
    """Return the names of the properties that a schema evaluates.

    Raises:
        BudgetExceeded: the budget is exhausted.
    """
    if isinstance(schema, bool):
        return set()
    budget.spend(1 + len(instance))
    found: set[str] = set()
    properties = schema.get("properties")
    if isinstance(properties, Mapping):
        found |= properties.keys() & instance.keys()
    for keyword in ("additionalProperties", "unevaluatedProperties"):
        inner = schema.get(keyword)
        if inner is not None:
            found.update(name for name, value in instance.items() if _fits(validator, value, inner))
    for text in schema.get("patternProperties", ()):
        found.update(name for name in instance if matches(text, name, budget))
    for name, dependent in schema.get("dependentSchemas", {}).items():
        if name in instance:
            found |= evaluated_properties(validator, instance, dependent, budget)
    for each, inner in _applied(validator, instance, schema):
        found |= evaluated_properties(each, instance, inner, budget)
    return found


def evaluated_items(validator: Any, instance: list[Any], schema: Any, budget: Budget) -> set[int]:
    """Return the indexes of the items that a schema evaluates.

    Raises:
        BudgetExceeded: the budget is exhausted.
    """
    if isinstance(schema, bool):
        return set()
    budget.spend(1 + len(instance))
    if "items" in schema:
        return set(range(len(instance)))
    found = set(range(len(schema.get("prefixItems", ()))))
    for keyword in ("contains", "unevaluatedItems"):
        if keyword in schema:
            found.update(index for index, item in enumerate(instance) if _fits(validator, item, schema[keyword]))
    for each, inner in _applied(validator, instance, schema):
        found |= evaluated_items(each, instance, inner, budget)
    return found


def _applied(validator: Any, instance: Any, schema: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Yield the validator and subschema for each subschema that applies to the same instance."""
    for keyword in ("$ref", "$dynamicRef"):
        if keyword in schema:
            resolved = validator._resolver.lookup(schema[keyword])  # noqa: SLF001 - as the library does
            yield validator.evolve(schema=resolved.contents, _resolver=resolved.resolver), resolved.contents
    for keyword in _ALTERNATIVES:
        for inner in schema.get(keyword, ()):
            if _fits(validator, instance, inner):
                yield validator, inner
    if "if" in schema:
        if _fits(validator, instance, schema["if"]):
            yield validator, schema["if"]
            yield validator, schema.get("then", True)
        else:
            yield validator, schema.get("else", True)


def _fits(validator: Any, instance: Any, schema: Any) -> bool:
    return next(validator.descend(instance, schema), None) is None
