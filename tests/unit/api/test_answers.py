"""Long lists are rendered in pieces, and come out as if they were not."""

import asyncio
from typing import Any

import orjson
import pytest

from orchestrator.api.answers import Json, rendered, revalidated

LONG = [{"n": number, "text": "é" * (number % 5)} for number in range(1000)]


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"runs": []},
        {"runs": [1]},
        {"runs": LONG, "nextCursor": None},
        {"runId": "a", "steps": LONG[:8], "more": LONG[:9], 'é"': {"a": LONG[:20]}},
    ],
)
async def test_it_is_the_same_text(document: dict[str, Any]) -> None:
    text = await rendered(document)
    assert text == orjson.dumps(document)
    assert Json(text).body == text
    assert revalidated(text, None).headers["ETag"] == revalidated(document, None).headers["ETag"]


async def test_others_have_their_turn_in_between() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await rendered({"steps": LONG})
    counting.cancel()
    assert turns > 100
