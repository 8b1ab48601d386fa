"""Encode results for the fast tiers as bytes, so that no caller can modify a cached result."""

import orjson

from orchestrator.cache.answers import Entry
from orchestrator.domain.output import output_from_json, output_to_json


def encode(entry: Entry) -> bytes:
    """Return the encoded form of a result."""
    return orjson.dumps({"skill": entry.skill, "run": entry.source_run, "output": output_to_json(entry.output)})


def decode(body: bytes) -> Entry:
    """Return the result from its encoded form.

    Raises:
        ValueError: `encode` of this version of the program did not write these bytes.
    """
    document = orjson.loads(body)
    try:
        return Entry(document["skill"], document["run"], output_from_json(document["output"]))
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"not a cached result: {error!r}") from error
