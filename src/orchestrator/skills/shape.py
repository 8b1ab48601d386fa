"""Shapes: the declared type of a skill's input or output, and the conversion between it and plain JSON.

JSON is copied on the way in and out, so a skill can modify its input, and keep a reference to its result, without
affecting other code.
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
    """A value does not have the declared type; `faults` lists the path and message of each mismatch."""

    def __init__(self, faults: list[dict[str, str]]) -> None:
        super().__init__("; ".join(f"{fault['path']}: {fault['message']}" for fault in faults))
        self.faults = faults


class Untyped:
    """Any JSON value."""

    __slots__ = ()

    def load(self, document: Any) -> Any:
        """Return a copy of the plain JSON."""
        return copy(document)

    def dump(self, value: Any) -> Any:
        """Return a value as plain JSON.

        Raises:
            InputNotCanonical: the value is not JSON; the message names the path.
        """
        return plain(value)


class AnyObject(Untyped):
    """A JSON object with any fields."""

    __slots__ = ()

    def load(self, document: Any) -> Any:
        """Return a copy of a JSON object.

        Raises:
            ShapeMismatch: the document is not an object.
        """
        return _object(copy(document))

    def dump(self, value: Any) -> Any:
        """Return a mapping as plain JSON.

        Raises:
            ShapeMismatch: the value is not a mapping.
            InputNotCanonical: the value is not JSON; the message names the path.
        """
        return _object(plain(value))


class Typed(Untyped):
    """A type that pydantic validates: a model, a dataclass, a TypedDict, a list of them and so on."""

    __slots__ = ("_adapter", "_holds_any")

    def __init__(self, kind: Any) -> None:
        self._adapter: TypeAdapter[Any] = TypeAdapter(kind)
        self._holds_any = "any" in _kinds(self._adapter.core_schema)

    @property
    def is_unordered(self) -> bool:
        """Whether the type contains a set, whose values would be written in random order."""
        return not _UNORDERED.isdisjoint(_kinds(self._adapter.core_schema))

    def load(self, document: Any) -> Any:
        """Return plain JSON as a value of the type.

        Raises:
            ShapeMismatch: the document does not match the type.
        """
        try:
            return self._adapter.validate_json(orjson.dumps(document, default=_default))
        except ValidationError as error:
            raise ShapeMismatch(_faults(error)) from error

    def dump(self, value: Any) -> Any:
        """Return a value of the type as plain JSON, with the aliases of its fields as names.

        Raises:
            ShapeMismatch: the value does not match the type.
            InputNotCanonical: it matches but is not JSON (NaN, for example); the message names the path.
        """
        try:
            fitting = self._adapter.validate_python(value)
            if self._holds_any and (fault := self._unordered_fault(fitting)):
                raise ShapeMismatch([fault])
            return plain(self._adapter.dump_python(fitting, mode="json", by_alias=True, warnings="error"))
        except ValidationError as error:
            raise ShapeMismatch(_faults(error)) from error
        except UnicodeDecodeError as error:
            message = "contains bytes that are not UTF-8 text; store them with ctx.artifact(...)"
            raise ShapeMismatch([{"path": "$", "message": message}]) from error
        except PydanticSerializationError as error:
            raise ShapeMismatch([{"path": "$", "message": str(error)}]) from error

    def _unordered_fault(self, fitting: Any) -> dict[str, str] | None:
        """Return the fault of a set in a part of the value that the type leaves open (`Any`), or None."""
        message = "set is not a JSON type; return a sorted list"
        try:
            path = _set_path(self._adapter.dump_python(fitting, by_alias=True), ())
        except TypeError:  # a set of models, which are dumped as dicts and cannot be in a set
            return {"path": "$", "message": message}
        return None if path is None else {"path": _path(path), "message": message}


def result_shape_of(annotation: Any) -> Untyped:
    """Return the shape of an annotation whose values are recorded.

    Raises:
        TypeError: pydantic cannot validate the type, or it contains a set: equal results would be recorded in different
            orders, and later steps would miss cached results that were made from another order.
    """
    shape = shape_of(annotation)
    if isinstance(shape, Typed) and shape.is_unordered:
        raise TypeError(
            f"{annotation!r} contains a set, which is not a JSON type and has no order: return a sorted list, "
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
        TypeError: the document is not JSON.
    """
    return orjson.loads(orjson.dumps(document, default=_default))


def plain(value: Any) -> Any:
    """Return a copy of a value as plain JSON.

    Raises:
        InputNotCanonical: the value is not JSON, or expands to more than can be stored; the message names the path.
    """
    check_size(value)
    try:
        copied = orjson.loads(orjson.dumps(value, option=_OPTIONS))
    except (TypeError, ValueError, RecursionError):
        pass
    else:
        # orjson silently turns NaN into null and a UUID into text, so use its copy only if it equals the original.
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
    """Return the kinds of all parts of a core schema, except parts with their own serializer function."""
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
    """Return the JSON type of a value of the wrong type, as text for a message; the value itself may be a secret."""
    return f", not {_TYPES[type(value)]}" if kind.endswith("_type") and type(value) in _TYPES else ""


def _path(location: tuple[int | str, ...]) -> str:
    steps = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "$" + "".join(steps)
