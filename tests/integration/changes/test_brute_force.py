"""R13 to R15 against a model that makes everything from scratch: same outputs, only what the change can reach."""

import asyncio
import os
import random
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

from orchestrator import StepContext, skill
from orchestrator.application.commands import Wanted
from orchestrator.application.core import Core
from orchestrator.domain.change import merge_patch
from orchestrator.domain.plan import Plan
from tests.integration.changes.graphs import Case, blur, random_case
from tests.waiting import until
from tests.world.core import CALLER, open_world, register
from tests.world.work import at_work

CASES = int(os.environ.get("CHANGE_CASES", "500"))
AT_ONCE = 50
executed: defaultdict[str, list[str]] = defaultdict(list)


@skill("test.blur")
async def blurred(input: dict[str, Any], ctx: StepContext) -> dict[str, Any]:
    executed[ctx.run_id].append(ctx.step_id)
    await asyncio.sleep(0)
    return {"v": blur(input["picked"], input["grain"])}


async def finished(core: Core, run_id: str) -> dict[str, Any]:
    over = ("completed", "failed", "cancelled")
    look = partial(core.database.call, core.reader.run, "default", run_id)
    return await until(look, what="the run is over", right=lambda run: run["status"] in over)


async def outputs_of(core: Core, run_id: str) -> dict[str, Any]:
    steps = await core.database.call(core.reader.steps, "default", run_id)
    assert all(step["status"] in ("completed", "skipped") for step in steps)
    return {step["stepId"]: step["data"] for step in steps}


def check_executions(plan: Plan, run_id: str) -> None:
    ran = executed[run_id]
    assert len(ran) == len(set(ran)), "a step was executed twice"
    assert set(ran) <= set(plan.impacted), "a step was executed that the change cannot reach"
    assert set(plan.forced) <= set(ran), "a forced step was not executed"
    actions = {step.step: step.action for step in plan.steps()}
    assert not [step for step in ran if actions[step] == "reuse"]


async def check(core: Core, case: Case) -> int:
    await register(core, case.workflow)
    base = (await core.commands.trigger(CALLER, Wanted(case.workflow.name, payload=case.payload))).run_id
    assert (await finished(core, base))["status"] == "completed"
    assert await outputs_of(core, base) == case.outputs(case.payload)
    payload, skipped = case.payload, 0
    for change in case.changes:
        payload = merge_patch(payload, change.payload)
        planned = await core.changes.plan(CALLER, base, change)
        accepted = await core.changes.update(CALLER, base, change, expected_plan_hash=planned.plan_hash)
        run = await finished(core, accepted.run_id)
        assert run["status"] == "completed", run["error"]
        assert await outputs_of(core, accepted.run_id) == case.outputs(payload), "something stale was served"
        check_executions(planned.plan, accepted.run_id)
        skipped += run["stepsSummary"]["skipped"]
        base = accepted.run_id
    return skipped


async def check_all(core: Core, seed: int) -> int:
    async with at_work(core, [blurred]):
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> int:
            async with gate:
                try:
                    return await check(core, random_case(random.Random(f"{seed}/{number}"), number))
                except BaseException:
                    print(f"failed: case {number} of seed {seed} (CHANGE_SEED={seed} repeats it)")
                    raise

        return sum(await asyncio.gather(*(one(number) for number in range(CASES))))


def test_updates_come_to_what_a_build_from_scratch_comes_to(database_url: str, tmp_path: Path) -> None:
    seed = int(os.environ.get("CHANGE_SEED") or random.SystemRandom().randrange(2**32))
    print(f"CHANGE_SEED={seed}")
    with open_world(database_url, tmp_path) as world:
        skipped = asyncio.run(check_all(world.core, seed))
    assert skipped > CASES, "hardly anything was reused: the cases do not test what they should"
