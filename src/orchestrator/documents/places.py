"""Places in a document, written as people read them: `steps[2].dependsOn[0]`, `changeTypes["audio.update"].seeds`."""

import json
import re
from collections.abc import Iterable

from orchestrator.domain.errors import Fault

ROOT = "document"
"""The place of a document as a whole."""

_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]*")
_NUMBER = re.compile(r"(\d+)")


def place(parts: Iterable[str | int], root: str = "") -> str:
    """Return the text of a place: field names and list indexes from the root of the document."""
    text = root
    for part in parts:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _NAME.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f"[{json.dumps(part)}]"
    return text or ROOT


def in_order(faults: Iterable[Fault]) -> list[Fault]:
    """Return faults without repetitions, by place; `steps[2]` comes before `steps[10]`."""
    return sorted(dict.fromkeys(faults), key=lambda fault: [_number(part) for part in _NUMBER.split(fault.path)])


def _number(part: str) -> tuple[int, str]:
    return (int(part), "") if part.isdecimal() else (-1, part)


def shorten(value: object, limit: int = 80) -> str:
    """Return the text of a value, cut where it would fill the screen."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
