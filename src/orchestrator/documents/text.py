"""Parse JSON and YAML text into plain data. Faults give the line and column.

A duplicate key is a fault, and so is an unquoted YAML scalar that parsers read differently.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import yaml

from orchestrator.documents.places import place, shorten
from orchestrator.documents.scalars import ambiguity
from orchestrator.domain.errors import MAX_FAULTS, Fault, InvalidDocument

MAX_DEPTH = 64
"""The maximum nesting depth of a document; the document itself is level 1."""

MAX_VALUES = 1_000_000
"""The maximum number of values in a document. A few lines of YAML aliases can expand to any number."""

MAX_REPEATED = 4 << 20
"""The maximum number of characters that the aliases of a YAML document may expand to."""

_MAX_NUMBER = 400
# Recognizes a long number in one pass, because YAML's own patterns are slow on long texts.
_LONG_NUMBER = re.compile(r"[-+]?(?:[0-9.][0-9_:.]*(?:[eE][-+]?[0-9]+)?|0[xob][0-9a-fA-F_]+)")
_Parts = tuple[str | int, ...]
_CORE = "tag:yaml.org,2002:"
_AMBIGUOUS = frozenset({"bool", "int", "float", "str"})
# Prefer libyaml: it is ten times faster.
_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_file(path: Path) -> tuple[Any, list[Fault]]:
    """Return the document in a `.yaml`, `.yml` or `.json` file, and the faults that do not prevent reading it.

    Raises:
        InvalidDocument: the file cannot be read, has another suffix, or has a syntax error.
    """
    source = str(path)
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise InvalidDocument([Fault("file", f"must end in {', '.join(_READERS)}, not {path.suffix!r}")], source)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InvalidDocument([Fault("file", f"cannot be read: {error.strerror}")], source) from error
    except UnicodeDecodeError as error:
        before = error.object[: error.start]
        fault = _syntax(before.count(b"\n") + 1, error.start - before.rfind(b"\n"), "is not UTF-8 text")
        raise InvalidDocument([fault], source) from error
    return read(text, source)


def read_json(text: str, source: str) -> tuple[Any, list[Fault]]:
    """Return the document in a JSON text, and its duplicate keys as faults.

    Raises:
        InvalidDocument: the text has a syntax error.
    """
    repeated: list[_Repeating] = []

    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        built = dict(pairs)
        if len(built) < len(pairs):
            times = Counter(key for key, _ in pairs)
            built = _Repeating(built, {key for key, count in times.items() if count > 1})
            repeated.append(built)
        return built

    try:
        document = json.loads(text, object_pairs_hook=build)
    except json.JSONDecodeError as error:
        raise InvalidDocument([_syntax(error.lineno, error.colno, error.msg)], source) from error
    except RecursionError:
        raise InvalidDocument([Fault("document", f"is nested more than {MAX_DEPTH} levels deep")], source) from None
    except ValueError as error:  # an integer with thousands of digits
        raise InvalidDocument([Fault("document", str(error))], source) from error
    return document, list(islice(_repeated_keys(document), MAX_FAULTS + 1)) if repeated else []


class _Repeating(dict[str, Any]):
    """An object with duplicate keys."""

    def __init__(self, built: dict[str, Any], keys: set[str]) -> None:
        super().__init__(built)
        self.repeated = keys


def _repeated_keys(document: Any) -> Iterator[Fault]:
    """Yield a fault for each duplicate key. Parts that are nested too deep are skipped: a later check rejects them."""
    waiting: list[tuple[Any, _Parts]] = [(document, ())]
    while waiting:
        value, parts = waiting.pop()
        if isinstance(value, _Repeating):
            for key in sorted(value.repeated):
                yield Fault(place((*parts, key)), "duplicate key")
        if len(parts) < MAX_DEPTH:
            items = value.items() if isinstance(value, dict) else enumerate(value)
            waiting += [(item, (*parts, key)) for key, item in items if isinstance(item, dict | list)]


def read_yaml(text: str, source: str) -> tuple[Any, list[Fault]]:
    """Return the document in a YAML text, and its duplicate keys and ambiguous scalars as faults.

    Raises:
        InvalidDocument: the text has a syntax error, or does not contain exactly one document.
    """
    try:
        with closing(_YamlReader(text, source)) as reader:
            return reader.read(), reader.faults
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = ", ".join(part for part in (error.problem, error.context) if part)
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise InvalidDocument([_syntax(line, column, message)], source) from error
    except yaml.YAMLError as error:  # characters that YAML does not allow
        raise InvalidDocument([Fault(place(()), " ".join(str(error).split()))], source) from error


_KINDS = {dict: "a mapping", list: "a list"}


class _Merge:
    """The key `<<`."""


class _YamlReader:
    """Builds plain data from the events of the YAML parser.

    This is faster than composing nodes, and limits the depth to `MAX_DEPTH`: libyaml's composer recurses in C, so
    deep nesting would crash the process.
    """

    def __init__(self, text: str, source: str) -> None:
        self._loader = _Loader(text)
        self._next: Callable[[], Any] = self._loader.get_event
        self._source = source
        # The value of each anchor, with the number of values and characters in it.
        self._anchors: dict[str, tuple[Any, int, int]] = {}
        self._values = 0
        self._characters = 0
        self._repeated = 0
        self._scalars: dict[str, Any] = {}
        self.faults: list[Fault] = []

    def read(self) -> Any:
        self._next()  # start of the stream
        if isinstance(self._next(), yaml.StreamEndEvent):
            raise InvalidDocument([Fault(place(()), "is empty")], self._source)
        document = self._value(self._next(), ())
        self._next()  # end of the document
        event = self._next()
        if not isinstance(event, yaml.StreamEndEvent):
            self._fail(event, "a second document starts here; only one is allowed")
        return document

    def close(self) -> None:
        self._loader.dispose()

    def _value(self, event: Any, parts: _Parts) -> Any:
        self._values += 1
        if type(event) is yaml.ScalarEvent and event.anchor is None:
            return self._scalar(event, parts)
        if len(parts) >= MAX_DEPTH:
            self._fail(event, f"nested more than {MAX_DEPTH} levels deep")
        value: Any = None
        values, characters = self._values, self._characters
        match event:
            case yaml.ScalarEvent():
                value = self._scalar(event, parts)
            case yaml.MappingStartEvent():
                value = self._mapping(event, parts)
            case yaml.SequenceStartEvent():
                value = self._sequence(event, parts)
            case yaml.AliasEvent():
                return self._repeat(event)
        if event.anchor is not None:
            self._anchors[event.anchor] = value, self._values - values, self._characters - characters
        return value

    def _repeat(self, event: Any) -> Any:
        """Return the value of an alias, and count it as if it were written out again."""
        if event.anchor not in self._anchors:
            self._fail(event, f"alias *{event.anchor[:_MAX_NUMBER]} refers to an undefined or incomplete anchor")
        value, values, characters = self._anchors[event.anchor]
        self._values += values
        self._characters += characters
        self._repeated += characters
        if self._values > MAX_VALUES:
            self._fail(event, f"with its aliases expanded, the document has more than {MAX_VALUES:,} values")
        if self._repeated > MAX_REPEATED:
            self._fail(event, f"the aliases expand to more than {MAX_REPEATED:,} characters")
        return value

    def _sequence(self, start: Any, parts: _Parts) -> list[Any]:
        self._check_tag(start, "seq")
        items: list[Any] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._value(event, (*parts, len(items))))
        return items

    def _mapping(self, start: Any, parts: _Parts) -> dict[str, Any]:
        self._check_tag(start, "map")
        built: dict[str, Any] = {}
        events: dict[str, Any] = {}
        merged: list[dict[str, Any]] = []
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._key(event, parts)
            if key is _Merge:
                merged += self._merged(event, self._value(self._next(), parts))
                continue
            if not isinstance(key, str):
                if isinstance(key, dict | list):
                    self._fail(event, f"a key of {place(parts)} is {_KINDS[type(key)]}; keys must be strings")
                written = event.value if isinstance(event, yaml.ScalarEvent) else str(key)
                self._add(parts, f"key {written} on line {_line(event)} is not a string; put it in quotes")
                key = str(key)
            value = self._value(self._next(), (*parts, key))
            if key in built:
                self._add((*parts, key), f"duplicate key, on lines {_line(events[key])} and {_line(event)}")
            events[key] = event
            built[key] = value
        for other in merged:  # already counted where they are written, and where an alias repeats them
            for key, value in other.items():
                built.setdefault(key, value)
        return built

    def _key(self, event: Any, parts: _Parts) -> Any:
        """Return a key. If it is not a string, drop the faults about it: the caller reports it."""
        known = len(self.faults)
        key = self._value(event, parts)
        if not isinstance(key, str):
            del self.faults[known:]
        return key

    def _merged(self, event: Any, value: Any) -> list[dict[str, Any]]:
        others = value if isinstance(value, list) else [value]
        if not all(isinstance(other, dict) for other in others):
            self._fail(event, "<< takes a mapping or a list of mappings")
        return others

    def _scalar(self, event: Any, parts: _Parts) -> Any:
        text: str = event.value
        self._characters += len(text)
        if event.tag == "!" or (event.tag is None and not event.implicit[0]):  # in quotes
            return text
        if event.tag is not None:
            return self._checked(event, event.tag, parts)
        value = self._scalars.get(text, _Merge)  # documents repeat the same scalars
        if value is _Merge:
            known = len(self.faults)
            value = self._checked(event, self._kind(text), parts)
            if len(self.faults) == known:
                self._scalars[text] = value
        return value

    def _kind(self, text: str) -> str:
        """Return the tag of an unquoted scalar."""
        if len(text) > _MAX_NUMBER:
            return f"{_CORE}{'int' if _LONG_NUMBER.fullmatch(text) else 'str'}"
        return str(self._loader.resolve(yaml.ScalarNode, text, (True, False)))

    def _checked(self, event: Any, tag: str, parts: _Parts) -> Any:
        """Return the value of a scalar, and record a fault if other parsers read a different value."""
        value = self._construct(event, tag, event.value)
        kind = tag.removeprefix(_CORE)
        if kind in _AMBIGUOUS and not (kind == "str" and event.tag is not None):
            found = ambiguity(kind, event.value, value)
            if found is not None:
                line, column = event.start_mark.line + 1, event.start_mark.column + 1
                self._add(parts, f"{found} (line {line}, column {column})")
        return value

    def _construct(self, event: Any, tag: str, text: str) -> Any:
        match tag.removeprefix(_CORE):
            case "str" | "timestamp" | "value":  # JSON has no dates: they stay strings
                return text
            case "merge":
                return _Merge
            case "null":
                return None
            case "bool" | "int" | "float" as kind:
                node = yaml.ScalarNode(tag, text if len(text) <= _MAX_NUMBER else "")
                try:
                    return getattr(self._loader, f"construct_yaml_{kind}")(node)
                except (ValueError, KeyError, IndexError):
                    message = f"{text[:40]!r} is not a valid {kind}"
            case _:
                message = f"unsupported tag {shorten(tag)[1:-1]}"
        return self._fail(event, message)

    def _check_tag(self, event: Any, kind: str) -> None:
        if event.tag not in (None, "!", _CORE + kind):
            self._fail(event, f"unsupported tag {shorten(event.tag)[1:-1]}")

    def _add(self, parts: _Parts, message: str) -> None:
        """Record a fault, and stop reading once there are more than are listed."""
        self.faults.append(Fault(place(parts), message))
        if len(self.faults) > MAX_FAULTS:
            raise InvalidDocument(self.faults, self._source)

    def _fail(self, event: Any, message: str) -> NoReturn:
        mark = event.start_mark
        raise InvalidDocument([*self.faults, _syntax(mark.line + 1, mark.column + 1, message)], self._source)


_READERS: dict[str, Callable[[str, str], tuple[Any, list[Fault]]]] = {
    ".yaml": read_yaml,
    ".yml": read_yaml,
    ".json": read_json,
}


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _syntax(line: int, column: int, message: str) -> Fault:
    return Fault(f"line {line}, column {column}", message)
