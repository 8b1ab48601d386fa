"""A skill for worker processes: it takes a while, and leaves a line when it begins and when it ends."""

import asyncio
import os
from pathlib import Path
from typing import Any

from orchestrator import StepContext, skill


@skill("test.slow")
async def slow(given: dict[str, Any], ctx: StepContext) -> dict[str, Any]:
    journal = Path(given["journal"])
    _note(journal, "begin")
    await asyncio.sleep(given["seconds"])
    _note(journal, "end")
    return {"answer": 42}


def _note(journal: Path, what: str) -> None:
    with journal.open("a") as file:
        file.write(f"{what} {os.getpid()}\n")
