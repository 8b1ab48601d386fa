"""How quick tiers hold a result: as bytes, which nobody who was given a copy can change."""

import orjson

from orchestrator.cache.answers import Entry
from orchestrator.domain.output import output_from_json, output_to_json


def encode(entry: Entry) -> bytes:
    """Return the bytes that stand for a result."""
    return orjson.dumps({"skill": entry.skill, "run": entry.source_run, "output": output_to_json(entry.output)})


def decode(body: bytes) -> Entry:
    """Return the result that `encode` wrote.

    Raises:
        ValueError: it did not write this, or that of another version of this program did.
    """
    document = orjson.loads(body)
    try:
        return Entry(document["skill"], document["run"], output_from_json(document["output"]))
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"no cached result: {error!r}") from error
