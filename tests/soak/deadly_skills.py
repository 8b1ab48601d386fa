"""Skills that take their worker down on the first attempt. Only workers that may go down have them."""

import os
import time
from typing import Any

from orchestrator import StepContext, skill
from tests.chaos.skills import made, noted


@skill("soak.stall")
async def stall(given: dict[str, Any], ctx: StepContext) -> dict[str, str]:
    """Blocks the event loop for ever: the watchdog ends the process."""
    with noted(ctx):
        if ctx.attempt == 1:
            time.sleep(3600)  # noqa: ASYNC251 - that is what it is for
        return made(given)


@skill("soak.crash")
async def crash(given: dict[str, Any], ctx: StepContext) -> dict[str, str]:
    with noted(ctx):
        result = made(given)
    if ctx.attempt == 1:  # noted as ended: others may take it over sooner than the soak hears of this
        os._exit(9)
    return result
