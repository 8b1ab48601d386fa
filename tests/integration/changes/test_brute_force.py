"""R13 to R15 against a model that makes everything from scratch: same outputs, only what the change can reach."""

import asyncio
import os
import random
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from orchestrator import SkillError, StepContext, skill
from orchestrator.application.commands import Wanted
from orchestrator.application.core import Core
from orchestrator.domain.change import merge_patch
from orchestrator.domain.plan import Plan
from tests.integration.changes.graphs import Case, Outcome, blur, breaks, random_case
from tests.waiting import until
from tests.world.core import CALLER, open_world, register
from tests.world.work import at_work

CASES = int(os.environ.get("CHANGE_CASES", "500"))
AT_ONCE = 50
OUTCOMES = {"completed": "done", "skipped": "done", "omitted": "omitted", "failed": "failed"}
executed: defaultdict[str, list[str]] = defaultdict(list)


@skill("test.blur")
async def blurred(input: dict[str, Any], ctx: StepContext) -> dict[str, Any]:
    executed[ctx.run_id].append(ctx.step_id)
    await asyncio.sleep(0)
    made = blur(input["picked"], input["grain"])
    if breaks(input, made):
        raise SkillError("BROKEN", "it is one of those that break")
    return {"v": made}


async def finished(core: Core, run_id: str) -> dict[str, Any]:
    over = ("completed", "failed", "cancelled")
    look = partial(core.database.call, core.reader.run, "default", run_id)
    return await until(look, what="the run is over", right=lambda run: run["status"] in over)


async def outcomes_of(core: Core, run_id: str) -> dict[str, Outcome]:
    steps = await core.database.call(core.reader.steps, "default", run_id)
    return {step["stepId"]: (OUTCOMES[step["status"]], step["data"]) for step in steps}


def check_executions(plan: Plan, run_id: str, outcomes: dict[str, Outcome]) -> None:
    ran = executed[run_id]
    assert len(ran) == len(set(ran)), "a step was executed twice"
    assert set(ran) <= set(plan.impacted), "a step was executed that the change cannot reach"
    omitted = {step for step, (outcome, _) in outcomes.items() if outcome == "omitted"}
    assert set(plan.forced) - omitted <= set(ran), "a forced step was not executed"
    actions = {step.step: step.action for step in plan.steps()}
    assert not [step for step in ran if actions[step] in ("reuse", "omit")]
    assert {step for step, action in actions.items() if action == "omit"} <= omitted


async def check(core: Core, case: Case) -> int:
    await register(core, case.workflow)
    base = (await core.commands.trigger(CALLER, Wanted(case.workflow.name, payload=case.payload))).run_id
    assert (await finished(core, base))["status"] == "completed"
    assert await outcomes_of(core, base) == case.outcomes(case.payload)
    payload, skipped = case.payload, 0
    for change in case.changes:
        payload = merge_patch(payload, change.payload)
        planned = await core.changes.plan(CALLER, base, change)
        accepted = await core.changes.update(CALLER, base, change, expected_plan_hash=planned.plan_hash)
        run = await finished(core, accepted.run_id)
        assert run["status"] == "completed", run["error"]
        outcomes = await outcomes_of(core, accepted.run_id)
        assert outcomes == case.outcomes(payload), "something stale was served"
        check_executions(planned.plan, accepted.run_id, outcomes)
        summary = Counter(outcome for outcome, _ in outcomes.values())
        assert (run["stepsSummary"]["omitted"], run["stepsSummary"]["failed"]) == (
            summary["omitted"],
            summary["failed"],
        )
        skipped += run["stepsSummary"]["skipped"]
        base = accepted.run_id
    return skipped


async def check_all(core: Core, seed: int, *, conditional: bool) -> int:
    async with at_work(core, [blurred]):
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> int:
            async with gate:
                try:
                    return await check(
                        core, random_case(random.Random(f"{seed}/{number}"), number, conditional=conditional)
                    )
                except BaseException:
                    print(f"failed: case {number} of seed {seed} (CHANGE_SEED={seed} repeats it)")
                    raise

        return sum(await asyncio.gather(*(one(number) for number in range(CASES))))


@pytest.mark.parametrize("conditional", [False, True], ids=["plain", "conditional"])
def test_updates_come_to_what_a_build_from_scratch_comes_to(
    database_url: str, tmp_path: Path, conditional: bool
) -> None:
    seed = int(os.environ.get("CHANGE_SEED") or random.SystemRandom().randrange(2**32))
    print(f"CHANGE_SEED={seed}")
    with open_world(database_url, tmp_path) as world:
        skipped = asyncio.run(check_all(world.core, seed, conditional=conditional))
    assert skipped > CASES, "hardly anything was reused: the cases do not test what they should"
