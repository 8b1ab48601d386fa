"""Text to plain data, JSON and YAML. Faults name the line and column.

A key that is given twice is a fault, and so is an unquoted YAML scalar that not every parser reads alike.
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
"""How deep a document may nest; the document itself is level 1."""

MAX_VALUES = 1_000_000
"""How many values a document may hold; a few lines of YAML aliases can stand for any number."""

MAX_REPEATED = 4 << 20
"""How many characters the aliases of a YAML document may stand for."""

_MAX_NUMBER = 400
# What no parser should have to read as a number: looked for once, since the patterns of YAML take long on such texts.
_LONG_NUMBER = re.compile(r"[-+]?(?:[0-9.][0-9_:.]*(?:[eE][-+]?[0-9]+)?|0[xob][0-9a-fA-F_]+)")
_Parts = tuple[str | int, ...]
_CORE = "tag:yaml.org,2002:"
_AMBIGUOUS = frozenset({"bool", "int", "float", "str"})
# libyaml when it is there: ten times faster
_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_file(path: Path) -> tuple[Any, list[Fault]]:
    """Return the document in a `.yaml`, `.yml` or `.json` file, and the faults that do not keep it from being read.

    Raises:
        InvalidDocument: the file cannot be read, has another suffix, or breaks the syntax.
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
    """Return the document that a JSON text holds, and the keys that it gives twice.

    Raises:
        InvalidDocument: the text breaks the syntax.
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
    except ValueError as error:  # an integer of thousands of digits
        raise InvalidDocument([Fault("document", str(error))], source) from error
    return document, list(islice(_repeated_keys(document), MAX_FAULTS + 1)) if repeated else []


class _Repeating(dict[str, Any]):
    """An object that was given some of its keys more than once."""

    def __init__(self, built: dict[str, Any], keys: set[str]) -> None:
        super().__init__(built)
        self.repeated = keys


def _repeated_keys(document: Any) -> Iterator[Fault]:
    """Yield the keys that are given twice; parts that are nested too deep are refused by whoever looks at the rest."""
    waiting: list[tuple[Any, _Parts]] = [(document, ())]
    while waiting:
        value, parts = waiting.pop()
        if isinstance(value, _Repeating):
            for key in sorted(value.repeated):
                yield Fault(place((*parts, key)), "is given more than once")
        if len(parts) < MAX_DEPTH:
            items = value.items() if isinstance(value, dict) else enumerate(value)
            waiting += [(item, (*parts, key)) for key, item in items if isinstance(item, dict | list)]


def read_yaml(text: str, source: str) -> tuple[Any, list[Fault]]:
    """Return the document that a YAML text holds, the keys that it gives twice and the scalars that are ambiguous.

    Raises:
        InvalidDocument: the text breaks the syntax, or holds no document or more than one.
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

    Faster than the loader's own way over nodes, and never deeper than `MAX_DEPTH`: the composer of libyaml
    recurses in C and would take the process down with it.
    """

    def __init__(self, text: str, source: str) -> None:
        self._loader = _Loader(text)
        self._next: Callable[[], Any] = self._loader.get_event
        self._source = source
        # What each anchor stands for, with how many values and characters that is.
        self._anchors: dict[str, tuple[Any, int, int]] = {}
        self._values = 0
        self._characters = 0
        self._repeated = 0
        self._scalars: dict[str, Any] = {}
        self.faults: list[Fault] = []

    def read(self) -> Any:
        self._next()  # the stream starts
        if isinstance(self._next(), yaml.StreamEndEvent):
            raise InvalidDocument([Fault(place(()), "is empty")], self._source)
        document = self._value(self._next(), ())
        self._next()  # the document ends
        event = self._next()
        if not isinstance(event, yaml.StreamEndEvent):
            self._fail(event, "a second document starts here; a file holds one")
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
        """Return what an alias stands for. It counts as if it were written there again."""
        if event.anchor not in self._anchors:
            self._fail(event, f"alias *{event.anchor[:_MAX_NUMBER]} stands for nothing that is complete here")
        value, values, characters = self._anchors[event.anchor]
        self._values += values
        self._characters += characters
        self._repeated += characters
        if self._values > MAX_VALUES:
            self._fail(event, f"with what its aliases stand for, the document holds more than {MAX_VALUES:,} values")
        if self._repeated > MAX_REPEATED:
            self._fail(event, f"aliases stand for more than {MAX_REPEATED:,} characters")
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
                    self._fail(event, f"a key of {place(parts)} is no text but {_KINDS[type(key)]}")
                written = event.value if isinstance(event, yaml.ScalarEvent) else str(key)
                self._add(parts, f"key {written} on line {_line(event)} is not text; put it in quotes")
                key = str(key)
            value = self._value(self._next(), (*parts, key))
            if key in built:
                self._add((*parts, key), f"is given twice, on lines {_line(events[key])} and {_line(event)}")
            events[key] = event
            built[key] = value
        for other in merged:  # whose items were counted where they stand, and where an alias repeats them
            for key, value in other.items():
                built.setdefault(key, value)
        return built

    def _key(self, event: Any, parts: _Parts) -> Any:
        """Return a key. What is ambiguous in it is said once, by whoever finds that it is not text."""
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
        value = self._scalars.get(text, _Merge)  # documents say the same things over and over
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
        """Return the value of a scalar; note a fault when other parsers read another one."""
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
            case "str" | "timestamp" | "value":  # JSON has no dates: they stay text
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
                    message = f"{text[:40]!r} is no {kind}"
            case _:
                message = f"tag {shorten(tag)[1:-1]} has no meaning here"
        return self._fail(event, message)

    def _check_tag(self, event: Any, kind: str) -> None:
        if event.tag not in (None, "!", _CORE + kind):
            self._fail(event, f"tag {shorten(event.tag)[1:-1]} has no meaning here")

    def _add(self, parts: _Parts, message: str) -> None:
        """Note a fault; after as many as are listed, reading on makes no sense."""
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
