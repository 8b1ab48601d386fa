"""Shapes: the declared type of a skill's input or output, and the way between it and plain JSON.

JSON is copied on the way in and on the way out, so a skill can change what it was given, and keep what it
returned, without anybody else noticing.
"""

import json
from collections.abc import Mapping
from typing import Any

import orjson
from pydantic import PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from orchestrator.domain.fingerprint import check_size, check_storable

_OPTIONS = orjson.OPT_STRICT_INTEGER
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

    __slots__ = ("_adapter",)

    def __init__(self, kind: Any) -> None:
        self._adapter: TypeAdapter[Any] = TypeAdapter(kind)

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
            return plain(self._adapter.dump_python(fitting, mode="json", by_alias=True, warnings="error"))
        except ValidationError as error:
            raise ShapeMismatch(_faults(error)) from error
        except PydanticSerializationError as error:
            raise ShapeMismatch([{"path": "$", "message": str(error)}]) from error


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


def _faults(error: ValidationError) -> list[dict[str, str]]:
    return [
        {"path": _path(item["loc"]), "message": item["msg"]}
        for item in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def _path(location: tuple[int | str, ...]) -> str:
    steps = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "$" + "".join(steps)
