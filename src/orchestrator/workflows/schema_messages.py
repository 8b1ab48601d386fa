"""JSON Schema keywords whose messages quote values, with the quoted values shortened.

They behave like those of `jsonschema`. That library formats the whole value, or the whole subschema, into the message
before it can be shortened, and no other thread can run in that time.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from jsonschema import ValidationError
from jsonschema._utils import equal

from orchestrator.documents.places import shorten

Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError]]

_QUOTED = 160


def quote(value: object) -> str:
    """Return the text of a value for a message, shortened."""
    return shorten(value, _QUOTED)


def quote_all(values: Iterable[object]) -> str:
    """Return the text of several values for a message, separated by commas and shortened."""
    return shorten(list(values), _QUOTED).removeprefix("[").removesuffix("]")


def _const(_validator: Any, value: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if not equal(instance, value):
        yield ValidationError(f"{quote(value)} was expected")


def _enum(_validator: Any, values: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if all(not equal(each, instance) for each in values):
        yield ValidationError(f"{quote(instance)} is not one of {quote(values)}")


def _type(validator: Any, types: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    names = [types] if isinstance(types, str) else types
    if not any(validator.is_type(instance, name) for name in names):
        yield ValidationError(f"{quote(instance)} is not of type {quote_all(names)}")


def _not(validator: Any, inner: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if validator.evolve(schema=inner).is_valid(instance):
        yield ValidationError(f"{quote(instance)} should not be valid under {quote(inner)}")


def _any_of(validator: Any, schemas: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    context: list[ValidationError] = []
    for index, inner in enumerate(schemas):
        errors = list(validator.descend(instance, inner, schema_path=index))
        if not errors:
            return
        context.extend(errors)
    yield ValidationError(f"{quote(instance)} is not valid under any of the given schemas", context=context)


def _one_of(validator: Any, schemas: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    context: list[ValidationError] = []
    fitting: list[Any] = []
    for index, inner in enumerate(schemas):
        if fitting:
            if validator.evolve(schema=inner).is_valid(instance):
                fitting.insert(-1, inner)
            continue
        errors = list(validator.descend(instance, inner, schema_path=index))
        if errors:
            context.extend(errors)
        else:
            fitting.append(inner)
    if not fitting:
        yield ValidationError(f"{quote(instance)} is not valid under any of the given schemas", context=context)
    elif len(fitting) > 1:
        yield ValidationError(f"{quote(instance)} is valid under each of {quote_all(fitting)}")


def _required(_validator: Any, names: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        for name in names:
            if name not in instance:
                yield ValidationError(f"{quote(name)} is a required property")


def _dependent_required(_validator: Any, needed: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        for name, others in needed.items():
            if name in instance:
                for other in others:
                    if other not in instance:
                        yield ValidationError(f"{quote(other)} is a dependency of {quote(name)}")


def _contains(validator: Any, inner: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if not isinstance(instance, list):
        return
    found, least, most = 0, schema.get("minContains", 1), schema.get("maxContains", len(instance))
    contained = validator.evolve(schema=inner)
    for each in instance:
        if contained.is_valid(each):
            found += 1
            if found > most:
                message = f"Too many items match the given schema (expected at most {most})"
                yield ValidationError(message, validator="maxContains", validator_value=most)
                return
    if found < least:
        if not found:
            yield ValidationError(f"{quote(instance)} does not contain items matching the given schema")
        else:
            message = f"Too few items match the given schema (expected at least {least} but only {found} matched)"
            yield ValidationError(message, validator="minContains", validator_value=least)


def _least(kind: type[list[Any] | dict[str, Any] | str], few: str, none: str) -> Keyword:
    def check(_validator: Any, least: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
        if isinstance(instance, kind) and len(instance) < least:
            yield ValidationError(f"{quote(instance)} {none if least == 1 else few}")

    return check


def _most(kind: type[list[Any] | dict[str, Any] | str], many: str) -> Keyword:
    def check(_validator: Any, most: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
        if isinstance(instance, kind) and len(instance) > most:
            yield ValidationError(f"{quote(instance)} {'is expected to be empty' if most == 0 else many}")

    return check


KEYWORDS: Mapping[str, Keyword] = {
    "const": _const,
    "enum": _enum,
    "type": _type,
    "not": _not,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "required": _required,
    "dependentRequired": _dependent_required,
    "contains": _contains,
    "minItems": _least(list, "is too short", "should be non-empty"),
    "maxItems": _most(list, "is too long"),
    "minLength": _least(str, "is too short", "should be non-empty"),
    "maxLength": _most(str, "is too long"),
    "minProperties": _least(dict, "does not have enough properties", "should be non-empty"),
    "maxProperties": _most(dict, "has too many properties"),
}
