"""Shapes: the declared type of a skill's input or output, and the way between it and plain JSON.

JSON is copied on the way in and on the way out, so a skill can change what it was given, and keep what it
returned, without anybody else noticing.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from pydantic import PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from orchestrator.domain.fingerprint import check_size, check_storable

_OPTIONS = orjson.OPT_STRICT_INTEGER
_UNORDERED = frozenset({"set", "frozenset"})
_TYPES = {
    type(None): "null",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "an array",
    dict: "an object",
}
_OBJECTS = (dict, dict[str, Any], Mapping, Mapping[str, Any])


class ShapeMismatch(ValueError):
    """A value does not have the declared type; `faults` names each place and what is wrong there."""

    def __init__(self, faults: list[dict[str, str]]) -> None:
        super().__init__("; ".join(f"{fault['path']}: {fault['message']}" for fault in faults))
        self.faults = faults


class Untyped:
    """Any JSON."""

    __slots__ = ()

    def load(self, document: Any) -> Any:
        """Return a copy of plain JSON."""
        return copy(document)

    def dump(self, value: Any) -> Any:
        """Return a value as plain JSON.

        Raises:
            InputNotCanonical: it is not JSON; the message names the path.
        """
        return plain(value)


class AnyObject(Untyped):
    """A JSON object with whatever fields."""

    __slots__ = ()

    def load(self, document: Any) -> Any:
        """Return a copy of a JSON object.

        Raises:
            ShapeMismatch: it is something else.
        """
        return _object(copy(document))

    def dump(self, value: Any) -> Any:
        """Return a mapping as plain JSON.

        Raises:
            ShapeMismatch: it is not a mapping.
            InputNotCanonical: it is not JSON; the message names the path.
        """
        return _object(plain(value))


class Typed(Untyped):
    """What pydantic makes of a type: a model, a dataclass, a TypedDict, a list of them and so on."""

    __slots__ = ("_adapter", "_holds_any")

    def __init__(self, kind: Any) -> None:
        self._adapter: TypeAdapter[Any] = TypeAdapter(kind)
        self._holds_any = "any" in _kinds(self._adapter.core_schema)

    @property
    def is_unordered(self) -> bool:
        """Whether values of the type are written in an order that is chance: there is a set in it."""
        return not _UNORDERED.isdisjoint(_kinds(self._adapter.core_schema))

    def load(self, document: Any) -> Any:
        """Return plain JSON as the type.

        Raises:
            ShapeMismatch: it does not fit.
        """
        try:
            return self._adapter.validate_json(orjson.dumps(document, default=_default))
        except ValidationError as error:
            raise ShapeMismatch(_faults(error)) from error

    def dump(self, value: Any) -> Any:
        """Return a value of the type as plain JSON, under the names (aliases) that the type gives its fields.

        Raises:
            ShapeMismatch: it does not fit.
            InputNotCanonical: it fits but is not JSON (NaN, say); the message names the path.
        """
        try:
            fitting = self._adapter.validate_python(value)
            if self._holds_any and (fault := self._unordered_fault(fitting)):
                raise ShapeMismatch([fault])
            return plain(self._adapter.dump_python(fitting, mode="json", by_alias=True, warnings="error"))
        except ValidationError as error:
            raise ShapeMismatch(_faults(error)) from error
        except UnicodeDecodeError as error:
            message = "holds bytes that are not UTF-8 text; store them with ctx.artifact(...)"
            raise ShapeMismatch([{"path": "$", "message": message}]) from error
        except PydanticSerializationError as error:
            raise ShapeMismatch([{"path": "$", "message": str(error)}]) from error

    def _unordered_fault(self, fitting: Any) -> dict[str, str] | None:
        """Return where a set stands in what the type leaves open (`Any`)."""
        message = "set is not a JSON type; return a sorted list"
        try:
            path = _set_path(self._adapter.dump_python(fitting, by_alias=True), ())
        except TypeError:  # a set of models: as dicts they cannot be in one
            return {"path": "$", "message": message}
        return None if path is None else {"path": _path(path), "message": message}


def result_shape_of(annotation: Any) -> Untyped:
    """Return the shape of an annotation whose values are recorded.

    Raises:
        TypeError: pydantic cannot validate the type, or it holds a set: equal results would be recorded in different
            orders, and no later step would find what was made from the other order.
    """
    shape = shape_of(annotation)
    if isinstance(shape, Typed) and shape.is_unordered:
        raise TypeError(
            f"{annotation!r} holds a set, which JSON cannot carry and which has no order: return a sorted list, "
            "or annotate the set with pydantic.PlainSerializer(sorted)"
        )
    return shape


def shape_of(annotation: Any) -> Untyped:
    """Return the shape of an annotation.

    Raises:
        TypeError: pydantic cannot validate the type; the message says why.
    """
    if annotation is Any or annotation is object:
        return Untyped()
    if annotation in _OBJECTS:
        return AnyObject()
    try:
        return Typed(annotation)
    except PydanticUserError as error:
        raise TypeError(f"{annotation!r} cannot be validated: {error.message}") from error


def copy(document: Any) -> Any:
    """Return a deep copy of plain JSON; tuples become lists, mappings become dicts.

    Raises:
        TypeError: it is not JSON.
    """
    return orjson.loads(orjson.dumps(document, default=_default))


def plain(value: Any) -> Any:
    """Return a value as plain JSON, copied.

    Raises:
        InputNotCanonical: it is not JSON, or expands to more than can be stored; the message names the path.
    """
    check_size(value)
    try:
        copied = orjson.loads(orjson.dumps(value, option=_OPTIONS))
    except (TypeError, ValueError, RecursionError):
        pass
    else:
        # The quick way turns NaN into null and a UUID into text without a word: believe it only when the
        # copy is equal to the original.
        if copied == value:
            return copied
    check_storable(value)
    return json.loads(json.dumps(value))


def _object(document: Any) -> Any:
    if not isinstance(document, dict):
        raise ShapeMismatch([{"path": "$", "message": f"expected an object, got {_json_type(document)}"}])
    return document


def _default(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not a JSON type")


def _json_type(document: Any) -> str:
    match document:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case int() | float():
            return "a number"
        case list():
            return "an array"
        case _:
            return type(document).__name__


def _kinds(schema: Any) -> set[str]:
    """Return the kinds of all parts of a core schema, those apart that say themselves how they are written."""
    if isinstance(schema, list | tuple):
        return set().union(*map(_kinds, schema))
    if not isinstance(schema, Mapping) or str(schema.get("serialization", {}).get("type", "")).startswith("function"):
        return set()
    kind = schema.get("type")
    inside = (value for key, value in schema.items() if key not in ("metadata", "default", "cls"))
    return set().union({kind} if isinstance(kind, str) else set(), *map(_kinds, inside))


def _set_path(value: Any, at: tuple[int | str, ...]) -> tuple[int | str, ...] | None:
    match value:
        case set() | frozenset():
            return at
        case dict():
            inside: Iterator[tuple[int | str, Any]] = ((str(key), item) for key, item in value.items())
        case list() | tuple():
            inside = iter(enumerate(value))
        case _:
            return None
    found = (_set_path(item, (*at, key)) for key, item in inside)
    return next((path for path in found if path is not None), None)


def _faults(error: ValidationError) -> list[dict[str, str]]:
    return [
        {"path": _path(item["loc"]), "message": f"{item['msg']}{_instead(item['type'], item['input'])}"}
        for item in error.errors(include_url=False, include_context=False)
    ]


def _instead(kind: str, value: Any) -> str:
    """Say which type of JSON a value of the wrong type has; the value itself may be a secret."""
    return f", not {_TYPES[type(value)]}" if kind.endswith("_type") and type(value) in _TYPES else ""


def _path(location: tuple[int | str, ...]) -> str:
    steps = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "$" + "".join(steps)
