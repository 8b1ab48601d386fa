"""Encode results for the fast tiers as bytes, so that no caller can modify a cached result."""

from typing import Any

import orjson

from orchestrator.cache.answers import Entry
from orchestrator.domain.output import output_from_json, output_to_json


def encode(entry: Entry) -> bytes:
    """Return the encoded form of a result."""
    document: dict[str, Any] = {"skill": entry.skill, "run": entry.source_run, "output": output_to_json(entry.output)}
    if entry.stored_at is not None:
        document["at"] = entry.stored_at
    return orjson.dumps(document)


def decode(body: bytes) -> Entry:
    """Return the result from its encoded form.

    Raises:
        ValueError: `encode` of this version of the program did not write these bytes.
    """
    document = orjson.loads(body)
    try:
        return Entry(
            document["skill"], document["run"], output_from_json(document["output"]), _time(document.get("at"))
        )
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"not a cached result: {error!r}") from error


def _time(value: object) -> int | None:
    if value is not None and type(value) is not int:
        raise TypeError(f"{value!r} is not a time")
    return value
