"""The payload schema of a workflow: JSON Schema, Draft 2020-12, complete in itself; nothing is ever fetched."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from orchestrator.documents.places import place, shorten
from orchestrator.domain.errors import Fault

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_Parts = tuple[str | int, ...]
_ONE = frozenset(
    {"items", "not", "if", "then", "else", "contains", "additionalProperties", "propertyNames"}
    | {"unevaluatedItems", "unevaluatedProperties", "contentSchema"}
)
_LIST = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_NAMED = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
_REFERENCES = ("$ref", "$dynamicRef")


def validator(schema: Mapping[str, Any]) -> Draft202012Validator:
    """Return the validator of a payload schema; a reference to anything outside it cannot be resolved."""
    return Draft202012Validator(schema, registry=Registry())


def misfits(digest: str, schema: Mapping[str, Any], payload: Any, *, root: str, most: int) -> list[tuple[str, str]]:
    """Return up to `most` problems of a payload, each with its place, which starts at `root`, and a message.

    Args:
        digest: of the workflow; its schema is compiled once.
        schema: the workflow's.
        payload: plain JSON.
        root: what the payload is called.
        most: how many problems are wanted.
    """
    compiled = _compiled(_Schema(digest, schema))
    try:
        errors = list(islice(compiled.iter_errors(payload), most))
    except (RecursionError, Unresolvable) as error:
        return [("payloadSchema", f"cannot be applied to this payload: {type(error).__name__}")]
    return [(place(error.absolute_path, root), shorten_message(error.message)) for error in errors]


@dataclass(frozen=True, slots=True)
class _Schema:
    """A schema, known by the digest of its workflow."""

    digest: str
    schema: Mapping[str, Any] = field(compare=False)


@lru_cache(maxsize=256)
def _compiled(schema: _Schema) -> Draft202012Validator:
    return validator(schema.schema)


def schema_faults(schema: dict[str, Any]) -> list[Fault]:
    """Return everything that is wrong with a payload schema; places start at `payloadSchema`."""
    dialect = schema.get("$schema", DIALECT)
    if not isinstance(dialect, str) or dialect.rstrip("#") != DIALECT:
        return [Fault("payloadSchema.$schema", f"must be {DIALECT}, not {shorten(dialect)}")]
    meta = Draft202012Validator(Draft202012Validator.META_SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)
    faults = [
        Fault(place(error.absolute_path, "payloadSchema"), f"is no JSON Schema: {shorten_message(error.message)}")
        for error in meta.iter_errors(schema)
    ]
    faults += _reference_faults(schema)
    if not faults:
        try:
            validator(schema).is_valid({})
        except RecursionError:
            faults.append(Fault("payloadSchema", "refers to itself without end"))
    return faults


def shorten_message(message: str) -> str:
    """Return a message of the validator, which may quote all of a large value, at a length one can read."""
    return message if len(message) <= 300 else f"{message[:200]} ... {message[-90:]}"


def _reference_faults(schema: dict[str, Any]) -> list[Fault]:
    faults = []
    root = Registry[Any]().resolver_with_root(DRAFT202012.create_resource(schema))
    for parts, part, resolver in _subschemas(schema, (), root):
        for keyword in _REFERENCES:
            target = part.get(keyword)
            if not isinstance(target, str):
                continue
            where = place((*parts, keyword), "payloadSchema")
            if not target.startswith("#"):
                faults.append(Fault(where, f"only references inside the schema are followed (#...), not {target!r}"))
                continue
            try:
                resolver.lookup(target)
            except Unresolvable:
                faults.append(Fault(where, f"{target!r} leads nowhere"))
    return faults


def _subschemas(schema: Any, parts: _Parts, resolver: Any) -> Iterator[tuple[_Parts, dict[str, Any], Any]]:
    """Yield each schema in a schema with its place and what resolves its references; data is left alone."""
    if not isinstance(schema, dict):
        return
    if parts and isinstance(schema.get("$id"), str):
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
