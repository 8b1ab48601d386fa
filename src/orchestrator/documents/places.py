"""Format places in a document, such as `steps[2].dependsOn[0]` or `changeTypes["audio.update"].seeds`."""

import json
import re
from collections.abc import Iterable

from orchestrator.domain.errors import Fault

ROOT = "document"
"""The place of the whole document."""

MAX_NAME = 100
"""The number of characters of a name that a place shows."""

_LEVELS = 4
_BITS = 1_000
_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]*")
_NUMBER = re.compile(r"(\d{1,18})")


def place(parts: Iterable[str | int], root: str = "") -> str:
    """Return the text of a place: field names and list indexes from the root of the document."""
    text = root
    for part in parts:
        if isinstance(part, int):
            text += f"[{part}]"
        elif len(part) > MAX_NAME:
            text += f'[{json.dumps(part[:MAX_NAME])[:-1]}..."]'
        elif _NAME.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f"[{json.dumps(part)}]"
    return text or ROOT


def in_order(faults: Iterable[Fault]) -> list[Fault]:
    """Return the faults without duplicates, sorted by place; `steps[2]` comes before `steps[10]`."""
    return sorted(dict.fromkeys(faults), key=lambda fault: [_number(part) for part in _NUMBER.split(fault.path)])


def _number(part: str) -> tuple[int, str]:
    return (int(part), "") if part.isdecimal() else (-1, part)


def shorten(value: object, limit: int = 80) -> str:
    """Return the text of a plain value, cut to at most `limit` characters.

    The rest of the value is never formatted, so a large value takes no longer than a small one.
    """
    text = _beginning(value, limit + 1, _LEVELS)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def _beginning(value: object, room: int, levels: int) -> str:
    """Return the text of a value, or its first `room` characters or a little more."""
    if isinstance(value, str):
        return repr(str(value[:room]))
    if isinstance(value, bool | float) or value is None:
        return repr(value)
    if isinstance(value, int):
        return repr(int(value)) if value.bit_length() <= _BITS else f"an integer of {value.bit_length():,} bits"
    if not isinstance(value, dict | list | tuple):
        return f"a value of type {type(value).__name__[:room]}"
    opening, closing = "{}" if isinstance(value, dict) else "()" if isinstance(value, tuple) else "[]"
    if value and not levels:
        return f"{opening}...{closing}"
    pieces: list[str] = []
    room -= 2
    for item in value:
        if room <= 0:
            break
        piece = _beginning(item, room, levels - 1)
        if isinstance(value, dict):
            piece += f": {_beginning(value[item], max(1, room - len(piece)), levels - 1)}"
        pieces.append(piece)
        room -= len(piece) + 2
    return f"{opening}{', '.join(pieces)}{closing}"
