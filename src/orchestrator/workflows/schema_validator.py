"""A JSON Schema 2020-12 validator with a budget: `jsonschema`, with its slow keywords replaced.

All work of the validator goes through a keyword or through `evolve`, so both charge the budget. We replace the keywords
that match patterns, because Python's `re` can take exponential time, and those that compare all items with each other.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import attrs
from jsonschema import Draft202012Validator, ValidationError, validators
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from orchestrator.domain.budget import Budget
from orchestrator.domain.fingerprint import canonical
from orchestrator.workflows.patterns import matches
from orchestrator.workflows.schema_messages import KEYWORDS, quote, quote_all
from orchestrator.workflows.unevaluated import evaluated_items, evaluated_properties

Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]

_PART = 3
"""The cost of descending into a subschema, which takes as long as a few keywords."""

MAX_LEVELS = 240
"""The maximum nesting of keyword calls. It keeps Python's recursion limit from being hit inside C extensions."""


@dataclass(slots=True)
class _Work:
    """The state of a running validation."""

    budget: Budget
    level: int = 0


_work: ContextVar[_Work] = ContextVar("work")


def first_errors(validator: Any, instance: Any, most: int, budget: Budget) -> list[ValidationError]:
    """Return up to `most` validation errors of an instance.

    Raises:
        BudgetExceeded: the validation costs more than the budget.
        RecursionError, Unresolvable: the schema cannot be applied to the instance.
    """
    token = _work.set(_Work(budget))
    try:
        errors = []
        for error in validator.iter_errors(instance):
            errors.append(error)
            if len(errors) == most:
                break
        return errors
    finally:
        _work.reset(token)


def make_validator(schema: Mapping[str, Any]) -> Any:
    """Return the validator for a self-contained schema. Nothing is ever fetched."""
    return BudgetedValidator(schema, registry=Registry(), _resolver=resolver_of(schema))


def resolver_of(schema: Mapping[str, Any]) -> Any:
    """Return the resolver for the references of a schema."""
    resource = DRAFT202012.create_resource(schema)
    uri = resource.id() or ""
    # Crawl once, because otherwise each reference to an anchor searches the whole schema.
    registry: Registry[Any] = Registry().with_resource(uri, resource).crawl()
    return registry.resolver(uri)


def make_meta_validator(format_checker: Any) -> Any:
    """Return the validator that checks schemas against the meta-schema."""
    return BudgetedValidator(Draft202012Validator.META_SCHEMA, format_checker=format_checker)


def _charging(keyword: Keyword) -> Keyword:
    """Return a keyword that charges the budget for its work and for its messages."""

    def check(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        work = _work.get()
        work.budget.spend(1 + (len(value) + 7 >> 3 if isinstance(value, list | dict) else 0))
        if work.level >= MAX_LEVELS:
            raise RecursionError
        work.level += 1
        try:
            for error in keyword(validator, value, instance, schema) or ():
                if not isinstance(error.validator, str):  # errors of nested keywords are already paid for
                    work.budget.spend_text(error.message)
                yield error
        finally:
            work.level -= 1

    return check


def _pattern(_validator: Any, text: str, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not matches(text, instance, _work.get().budget):
        yield ValidationError(f"{quote(instance)} does not match {quote(text)}")


def _pattern_properties(validator: Any, value: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        for text, inner in value.items():
            for name, item in instance.items():
                if matches(text, name, _work.get().budget):
                    yield from validator.descend(item, inner, path=name, schema_path=text)


def _additional_properties(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    _work.get().budget.spend(len(instance))
    texts, named = schema.get("patternProperties", {}), schema.get("properties", {})
    extras = [
        name
        for name in instance
        if name not in named and not any(matches(text, name, _work.get().budget) for text in texts)
    ]
    if value is False and extras:
        listed = quote_all(sorted(extras))
        if texts:
            patterns = quote_all(sorted(texts))
            verb = "does" if len(extras) == 1 else "do"
            yield ValidationError(f"{listed} {verb} not match any of the regexes: {patterns}")
        else:
            verb = "was" if len(extras) == 1 else "were"
            yield ValidationError(f"Additional properties are not allowed ({listed} {verb} unexpected)")
    elif isinstance(value, dict):
        for name in extras:
            yield from validator.descend(instance[name], value, path=name)


def _unique_items(_validator: Any, value: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if value and isinstance(instance, list):
        _work.get().budget.spend_deep(instance)
        if len({canonical(item) for item in instance}) < len(instance):
            yield ValidationError(f"{quote(instance)} has non-unique elements")


def _one_of_values(keyword: Keyword) -> Keyword:
    """Return `enum` or `const` with a cost in proportion to the size of its values."""

    def check(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError] | None:
        if isinstance(instance, list | dict):
            _work.get().budget.spend_deep(value)
        return keyword(validator, value, instance, schema)

    return check


def _each(keyword: Keyword) -> Keyword:
    """Return a keyword that visits every item or property, with a cost in proportion to their number."""

    def check(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError] | None:
        if isinstance(instance, list | dict):
            _work.get().budget.spend(len(instance))
        return keyword(validator, value, instance, schema)

    return check


def _unevaluated_properties(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        known = evaluated_properties(validator, instance, _without(schema, "unevaluatedProperties"), _work.get().budget)
        others = {name: item for name, item in instance.items() if name not in known}
        yield from _unevaluated("properties", sorted(_refused(validator, value, others)))


def _unevaluated_items(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, list):
        known = evaluated_items(validator, instance, _without(schema, "unevaluatedItems"), _work.get().budget)
        others = {index: item for index, item in enumerate(instance) if index not in known}
        yield from _unevaluated("items", [instance[index] for index in _refused(validator, value, others)])


def _without(schema: Any, keyword: str) -> dict[str, Any]:
    """Return the schema without a keyword: an `unevaluated...` keyword must not count its own evaluations."""
    return {name: part for name, part in schema.items() if name != keyword}


def _refused(validator: Any, value: Any, parts: Mapping[Any, Any]) -> list[Any]:
    return [key for key, part in parts.items() if next(validator.descend(part, value), None) is not None]


def _unevaluated(kind: str, wrong: Sequence[Any]) -> Iterator[ValidationError]:
    if wrong:
        listed, verb = quote_all(wrong), "was" if len(wrong) == 1 else "were"
        yield ValidationError(f"Unevaluated {kind} are not allowed ({listed} {verb} unexpected)")


def _evolve(self: Any, **changes: Any) -> Any:
    """Return the validator for a subschema, always of this class, even if the subschema has its own `$schema`."""
    _work.get().budget.spend(_PART)
    for name, alias in _FIELDS:
        if alias not in changes:
            changes[alias] = getattr(self, name)
    return BudgetedValidator(**changes)


_GIVEN: Mapping[str, Keyword] = {**Draft202012Validator.VALIDATORS, **KEYWORDS}
_REPLACED: Mapping[str, Keyword] = {
    **{name: _each(_GIVEN[name]) for name in ("items", "contains", "propertyNames", "prefixItems")},
    **{name: _one_of_values(_GIVEN[name]) for name in ("enum", "const")},
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "uniqueItems": _unique_items,
    "unevaluatedProperties": _unevaluated_properties,
    "unevaluatedItems": _unevaluated_items,
}

BudgetedValidator: Any = validators.extend(  # type: ignore[no-untyped-call]
    Draft202012Validator, {name: _charging(keyword) for name, keyword in {**_GIVEN, **_REPLACED}.items()}
)
BudgetedValidator.evolve = _evolve
_FIELDS = tuple((field.name, field.alias) for field in attrs.fields(BudgetedValidator) if field.init)
