"""Replace the values of secrets in text. The masker of this process knows every value that was read in it."""

import base64
import json
import threading
from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import quote, quote_plus

import orjson

MASK: Final = "***"
MIN_MASKED_CHARACTERS: Final = 4
"""A shorter value is not masked: it would also be found in text that has nothing to do with it."""

_MIN_BASE64_CHARACTERS = 6  # fewer occur by chance: in 16 MiB of base64, six do once in 4,000 times
_MIN_LINE_CHARACTERS = 8
_VALUES_OF_A_SECRET = 8
_MAX_VALUES = 1000
_CUT_CHARACTER = "\N{REPLACEMENT CHARACTER}"


class Masker:
    """Knows values of secrets, and finds them in text. Safe to use from several threads.

    A value is found as it is, as JSON and Python write it in a string, in base64 (also inside of a longer text, as in
    basic authentication) and URL-encoded. The lines of a value with several lines are masked one by one too. Of each
    secret, the last 8 values are known, and at most 1,000 values in all.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[tuple[str, str], tuple[str, ...]] = {}
        self._masked: tuple[str, ...] = ()
        self._refused: tuple[tuple[str, str], ...] = ()

    def forget_all(self) -> None:
        """Forget every value, for tests that share a process."""
        with self._lock:
            self._values, self._masked, self._refused = {}, (), ()

    @property
    def is_empty(self) -> bool:
        """Whether no value is known."""
        return not self._masked

    def add(self, name: str, value: str) -> bool:
        """Remember a value of a secret; return False if it is too short to be masked."""
        if len(value) < MIN_MASKED_CHARACTERS:
            return False
        if (name, value) in self._values:
            return True
        with self._lock:
            values = {**self._values, (name, value): tuple(_forms(value))}
            own = [key for key in values if key[0] == name]
            for key in (*own[:-_VALUES_OF_A_SECRET], *list(values)[:-_MAX_VALUES]):
                values.pop(key, None)
            lines = (form for _, known in values for form in _lines(known))
            forms = {form for known in values.values() for form in known}
            self._values = values
            self._refused = tuple((form, key[0]) for key, known in values.items() for form in known)
            self._masked = tuple(sorted({*forms, *lines}, key=len, reverse=True))
        return True

    def mask(self, text: str, *, is_cut_before: bool = False, is_cut_after: bool = False) -> str:
        """Return the text with `***` in place of every value.

        Args:
            text: any text.
            is_cut_before: whether text before this one was cut off: it may begin with the end of a value.
            is_cut_after: whether text after this one was cut off: it may end with the beginning of a value.
        """
        forms = self._masked
        if not forms:
            return text
        found = [form for form in forms if form in text]
        spans = [span for form in found for span in _places(form, text)]
        if is_cut_before:
            start = len(text) - len(text.lstrip(_CUT_CHARACTER))  # half of a character is left of the cut
            spans += [(0, start + size) for form in forms if (size := _overlap(text[start:], form, at_start=True))]
        if is_cut_after:
            end = len(text.rstrip(_CUT_CHARACTER))
            sizes = (_overlap(text[:end], form, at_start=False) for form in forms)
            spans += [(end - size, len(text)) for size in sizes if size]
        return _replaced(text, spans) if spans else text

    def secrets_in(self, text: str) -> list[str]:
        """Return the names of the secrets with a value in a text, sorted."""
        return sorted({name for form, name in self._refused if form in text})


MASKER: Final = Masker()
"""The masker of this process."""


def mask(text: str) -> str:
    """Return a text with `***` in place of every value of a secret that this process has read."""
    return MASKER.mask(text)


def mask_json(value: Any) -> Any:
    """Return plain JSON with every text masked, keys included."""
    if MASKER.is_empty:
        return value
    match value:
        case str():
            return mask(value)
        case list():
            return [mask_json(each) for each in value]
        case dict():
            return {mask(name): mask_json(each) for name, each in value.items()}
        case _:
            return value


def _forms(value: str) -> Iterator[str]:
    """Yield how a value may be written, without duplicates."""
    quoted = (quote(value, safe=""), quote(value), quote_plus(value))
    return iter(
        dict.fromkeys(
            (
                value,
                orjson.dumps(value).decode()[1:-1],
                json.dumps(value)[1:-1],
                ascii(value)[1:-1],
                repr(value)[1:-1],
                *quoted,
                *(form.replace("%2F", "%2f").replace("%3D", "%3d").replace("%2B", "%2b") for form in quoted),
                *_in_base64(value.encode()),
            )
        )
    )


def _in_base64(value: bytes) -> Iterator[str]:
    """Yield a value in base64, and the characters that it determines at each offset within a longer text."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        whole = encode(value).decode()
        if len(whole) >= _MIN_BASE64_CHARACTERS:
            yield whole
        for offset in range(3):
            text = encode(bytes(offset) + value).decode()
            core = text[-(-offset * 8 // 6) : (offset + len(value)) * 8 // 6]
            if len(core) >= _MIN_BASE64_CHARACTERS:
                yield core


def _lines(value: str) -> Iterator[str]:
    lines = value.splitlines()
    return (line for line in lines if len(lines) > 1 and len(line.strip()) >= _MIN_LINE_CHARACTERS)


def _places(form: str, text: str) -> Iterator[tuple[int, int]]:
    place = text.find(form)
    while place >= 0:
        yield place, place + len(form)
        place = text.find(form, place + 1)


def _overlap(text: str, form: str, *, at_start: bool) -> int:
    """Return how many characters of a form, at least 4 and not all, stand at one end of a text; 0 for none."""
    for size in range(min(len(text), len(form) - 1), MIN_MASKED_CHARACTERS - 1, -1):
        if text.startswith(form[-size:]) if at_start else text.endswith(form[:size]):
            return size
    return 0


def _replaced(text: str, spans: Iterable[tuple[int, int]]) -> str:
    parts: list[str] = []
    done, open_from, open_to = 0, -1, -1
    for start, end in sorted(spans):
        if start > open_to:
            if open_from >= 0:
                parts += [text[done:open_from], MASK]
                done = open_to
            open_from = start
        open_to = max(open_to, end)
    return "".join((*parts, text[done:open_from], MASK, text[open_to:]))
