"""Exports as JSON Lines: one event per line, then the end record.

{"position", "streamId", "version", "name", "state"}       "base64" replaces "state" if the state is not JSON
{"end": {"events", "position", "link"}}
"""

import base64
import binascii
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO
from uuid import UUID

import orjson

from orchestrator.audit.chain import Tally
from orchestrator.audit.transfer.end import DamagedExport, ExportEnd, end_from_json, end_of, end_to_json
from orchestrator.eventstore.recorder import EventRow


def write(rows: Iterable[EventRow], tally: Tally, file: BinaryIO) -> None:
    """Write events and the end record. The caller's iterator must have counted each event in the tally."""
    for stream, version, name, state, position in rows:
        document: dict[str, Any] = {"position": position, "streamId": str(stream), "version": version, "name": name}
        if (value := _as_json(state)) is not None:
            document["state"] = value
        else:
            document["base64"] = base64.b64encode(state).decode()
        file.write(orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE))
    file.write(orjson.dumps({"end": end_to_json(end_of(tally))}, option=orjson.OPT_APPEND_NEWLINE))


def read(file: BinaryIO) -> Iterator[EventRow | ExportEnd]:
    """Yield the events and the end record.

    Raises:
        DamagedExport: a line is invalid.
    """
    for number, line in enumerate(file, 1):
        try:
            document = orjson.loads(line)
            if "end" in document:
                yield end_from_json(document["end"])
            else:
                yield (
                    UUID(document["streamId"]),
                    int(document["version"]),
                    str(document["name"]),
                    _state(document),
                    int(document["position"]),
                )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedExport(f"line {number} is not a valid line of an export ({error!r})") from error


def _as_json(state: bytes) -> Any:
    """Return a state as a JSON value if that serializes to the same bytes, otherwise None."""
    try:
        value = orjson.loads(state)
    except orjson.JSONDecodeError:
        return None
    return value if orjson.dumps(value) == state else None


def _state(document: dict[str, Any]) -> bytes:
    if "base64" not in document:
        return orjson.dumps(document["state"])
    try:
        return base64.b64decode(document["base64"], validate=True)
    except binascii.Error as error:
        raise ValueError(f"base64: {error}") from error
