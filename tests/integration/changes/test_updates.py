"""Updates and retries on a real database: what runs, what is reused from where, and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.application.caller import Caller
from orchestrator.application.commands import Wanted
from orchestrator.application.errors import InvalidRequest
from orchestrator.domain.change import ChangeRequest
from orchestrator.domain.errors import (
    BaseRunNotCompleted,
    IdempotencyConflict,
    InvalidPayload,
    PlanChanged,
    RunNotFound,
    RunNotRetryable,
    UnknownChangeType,
    UnknownStep,
)
from tests.world.core import CALLER
from tests.world.echo import EchoWorld, open_echo_world
from tests.world.programs import call


def document(version: str = "1", **changes: Any) -> dict[str, Any]:
    """Return `a -> b -> d` and `c`: b reads the payload's `b`, c its `c`; a and c leave files."""
    return {
        "workflowName": "small",
        "version": version,
        "payloadSchema": {"type": "object", "properties": {"b": {"type": "integer"}}},
        "steps": [
            {"stepId": "a", "skillId": "test.echo", "input": {"a": "trigger.a", "file": "`true`"}},
            {"stepId": "b", "skillId": "test.echo", "dependsOn": ["a"], "input": {"b": "trigger.b"}},
            {"stepId": "c", "skillId": "test.echo", "input": {"c": "trigger.c", "file": "`true`"}},
            {"stepId": "d", "skillId": "test.echo", "dependsOn": ["b", "a"], "input": {"b": "steps.b.data.saw.b"}},
        ],
        "changeTypes": {"b": {"seeds": ["b"]}},
        **changes,
    }


async def update(here: EchoWorld, base: str, change: ChangeRequest) -> str:
    return await here.done(await here.core.changes.update(CALLER, base, change))


async def test_only_what_the_change_reaches_runs_and_the_rest_names_its_maker(
    database_url: str, tmp_path: Path
) -> None:
    async with open_echo_world(database_url, tmp_path) as here:
        await here.register(document())
        base = await here.make("small", {"a": 1, "b": 1, "c": 1})
        run_id = await update(here, base, ChangeRequest("b", {"b": 2}))
        assert here.executed[run_id] == ["b", "d"]
        steps = await here.steps(run_id)
        assert {name: view["status"] for name, view in steps.items()} == {
            "a": "skipped", "b": "completed", "c": "skipped", "d": "completed",
        }  # fmt: skip
        assert steps["a"]["reusedFromRunId"] == steps["c"]["reusedFromRunId"] == base
        artifacts = await here.core.database.call(here.core.reader.artifacts, "default", run_id)
        assert {(view["stepId"], view["runId"]) for view in artifacts} == {("a", base), ("c", base)}
        run = await here.core.database.call(here.core.reader.run, "default", run_id)
        assert (run["triggerType"], run["baseRunId"]) == ("update", base)
        assert run["triggerPayload"] == {"a": 1, "b": 2, "c": 1}
        assert run["stepsSummary"]["skipped"] == run["stepsSummary"]["completed"] == 2


async def test_a_step_whose_input_is_as_it_was_is_skipped_as_unchanged(database_url: str, tmp_path: Path) -> None:
    async with open_echo_world(database_url, tmp_path) as here:
        await here.register(document())
        base = await here.make("small", {"a": 1, "b": 1, "c": 1})
        run_id = await update(here, base, ChangeRequest("payload.patch", {"a": 2}))
        steps = await here.steps(run_id)
        assert here.executed[run_id] == ["a"]
        assert (steps["b"]["hitReason"], steps["d"]["hitReason"]) == ("unchanged", "unchanged")
        assert steps["d"]["reusedFromRunId"] == base


async def test_force_executes_in_spite_of_the_cache(database_url: str, tmp_path: Path) -> None:
    async with open_echo_world(database_url, tmp_path) as here:
        await here.register(document())
        base = await here.make("small", {"b": 1})
        assert here.executed[await update(here, base, ChangeRequest("b", {}))] == []
        assert here.executed[await update(here, base, ChangeRequest("b", {}, True))] == ["b"]
        assert here.executed[await update(here, base, ChangeRequest("b", {}, ("c",)))] == ["c"]


async def test_a_chain_of_fifty_updates_resolves_every_output_to_its_maker(database_url: str, tmp_path: Path) -> None:
    async with open_echo_world(database_url, tmp_path) as here:
        await here.register(document())
        first = base = await here.make("small", {"a": 1, "b": 0, "c": 1})
        makers = {}
        for number in range(1, 51):
            field = "b" if number % 3 else "c"
            base = await update(here, base, ChangeRequest("payload.patch", {field: number}))
            makers[field] = base
        steps = await here.steps(base)
        found = {name: view["reusedFromRunId"] or base for name, view in steps.items()}
        assert found == {"a": first, "b": makers["b"], "c": makers["c"], "d": makers["b"]}
        assert steps["d"]["data"] == {"saw": {"b": 50}}


@pytest.mark.parametrize("damage", ["deleted", "truncated", "altered"])
async def test_a_reused_result_whose_file_is_gone_is_made_again(database_url: str, tmp_path: Path, damage: str) -> None:
    async with open_echo_world(database_url, tmp_path) as here:
        await here.register(document())
        base = await here.make("small", {"a": 1, "b": 1, "c": 1})
        kept = await here.core.database.call(here.core.reader.artifacts, "default", base, "c")
        path = Path(str(kept[0]["uri"]).removeprefix("file://"))
        content = path.read_bytes()
        path.chmod(0o600)
        match damage:
            case "deleted":
                path.unlink()
            case "truncated":
                path.write_bytes(content[:-1])
            case _:
                path.write_bytes(content[:-1] + b"?")
        planned = await here.core.changes.plan(CALLER, base, ChangeRequest("b", {"b": 2}))
        assert planned.plan.seeds["c"] == "its earlier result is no longer available"
        run_id = await update(here, base, ChangeRequest("b", {"b": 2}))
        assert sorted(here.executed[run_id]) == ["b", "c", "d"]
        assert path.read_bytes() == content


async def test_a_retry_reuses_all_that_completed(database_url: str, tmp_path: Path) -> None:
    async with open_echo_world(database_url, tmp_path) as here:
        await here.register(document())
        here.broken.add("b")
        base = await here.make("small", {"b": 1}, status="failed")
        here.broken.clear()
        run_id = await here.done(await here.core.changes.retry(CALLER, base))
        assert here.executed[run_id] == ["b", "d"]
        steps = await here.steps(run_id)
        assert steps["a"]["reusedFromRunId"] == steps["c"]["reusedFromRunId"] == base
        with pytest.raises(RunNotRetryable, match="is completed"):
            await here.core.changes.retry(CALLER, run_id)


async def test_a_plan_is_guarded_by_its_hash(database_url: str, tmp_path: Path) -> None:
    async with open_echo_world(database_url, tmp_path) as here:
        await here.register(document())
        base = await here.make("small", {"b": 1})
        change = ChangeRequest("b", {"b": 2})
        planned = await here.core.changes.plan(CALLER, base, change)
        assert set(planned.durations) == {"a", "b", "c", "d"}
        other = ChangeRequest("b", {"b": 3})
        with pytest.raises(PlanChanged):
            await here.core.changes.update(CALLER, base, other, expected_plan_hash=planned.plan_hash)
        await here.register(document("2", description="newer"))
        with pytest.raises(PlanChanged, match="request a new plan"):
            await here.core.changes.update(CALLER, base, change, expected_plan_hash=planned.plan_hash)
        again = await here.core.changes.plan(CALLER, base, change)
        await here.done(await here.core.changes.update(CALLER, base, change, expected_plan_hash=again.plan_hash))


async def test_what_is_refused_leaves_nothing_behind(database_url: str, tmp_path: Path) -> None:
    async with open_echo_world(database_url, tmp_path) as here:
        await here.register(document())
        base = await here.make("small", {"b": 1})
        here.broken.add("b")
        failed = await here.make("small", {"b": 7}, status="failed")
        changes, position = here.core.changes, here.core.log.last_position()
        with pytest.raises(UnknownChangeType, match=r"it has b, payload\.patch"):
            await changes.update(CALLER, base, ChangeRequest("video", {}))
        with pytest.raises(UnknownStep, match="force names step 'x'"):
            await changes.update(CALLER, base, ChangeRequest("b", {}, ("x",)))
        with pytest.raises(InvalidPayload):
            await changes.update(CALLER, base, ChangeRequest("b", {"b": "not a number"}))
        with pytest.raises(BaseRunNotCompleted, match="is failed"):
            await changes.update(CALLER, failed, ChangeRequest("b", {}))
        with pytest.raises(RunNotFound):
            await changes.update(Caller("other", "spy"), base, ChangeRequest("b", {}))
        with pytest.raises(RunNotFound):
            await changes.retry(Caller("other", "spy"), failed)
        assert here.core.log.last_position() == position


async def test_an_idempotency_key_makes_one_update_of_many_requests(database_url: str, tmp_path: Path) -> None:
    async with open_echo_world(database_url, tmp_path) as here:
        await here.register(document())
        base = await here.make("small", {"b": 1})
        change = ChangeRequest("b", {"b": 2})
        one = await here.core.changes.update(CALLER, base, change, idempotency_key="k")
        two = await here.core.changes.update(CALLER, base, change, idempotency_key="k")
        assert one.run_id == two.run_id
        with pytest.raises(IdempotencyConflict):
            await here.core.changes.update(CALLER, base, ChangeRequest("b", {"b": 3}), idempotency_key="k")


async def test_updates_and_retries_inherit_labels_and_priority(database_url: str, tmp_path: Path) -> None:
    async with open_echo_world(database_url, tmp_path) as here:

        async def inherited(run_id: str) -> tuple[dict[str, str], int]:
            run = await here.core.database.call(here.core.reader.run, "default", run_id)
            return run["labels"], run["priority"]

        await here.register(document())
        asked = Wanted("small", payload={"a": 1, "b": 1}, labels={"order": "4711"}, priority=7)
        base = await here.done(await here.core.commands.trigger(CALLER, asked))
        first = await update(here, base, ChangeRequest("b", {"b": 2}))
        second = await update(here, first, ChangeRequest("payload.patch", {"b": 3}))
        here.broken.add("d")
        failed = await here.done(
            await here.core.changes.update(CALLER, base, ChangeRequest("b", {"b": 4}), priority=1), "failed"
        )
        here.broken.clear()
        retried = await here.done(await here.core.changes.retry(CALLER, failed))
        own = {"order": "4712", "who": "me"}
        again = await here.done(await here.core.changes.retry(CALLER, failed, priority=2, labels=own))
        renamed = await here.done(
            await here.core.changes.update(CALLER, base, ChangeRequest("b", {"b": 5}), priority=0, labels=own)
        )
        many = {f"label {number}": "" for number in range(64)}
        with pytest.raises(InvalidRequest, match="would be 65 with those of the base run; the maximum is 64"):
            await here.core.changes.update(CALLER, base, ChangeRequest("b", {"b": 6}), labels=many)
        once = await here.core.changes.retry(CALLER, failed, idempotency_key="r")
        assert (await here.core.changes.retry(CALLER, failed, idempotency_key="r")).run_id == once.run_id
        with pytest.raises(IdempotencyConflict):
            await here.core.changes.retry(CALLER, failed, idempotency_key="r", priority=0)

        assert await inherited(first) == await inherited(second) == ({"order": "4711"}, 7)
        assert await inherited(failed) == await inherited(retried) == ({"order": "4711"}, 1)
        assert await inherited(again) == (own, 2)
        assert await inherited(renamed) == (own, 0)


async def test_what_is_reused_is_no_difference(database_url: str, tmp_path: Path) -> None:
    async with open_echo_world(database_url, tmp_path) as here:
        await here.register(document())
        base = await here.make("small", {"a": 1, "b": 1, "c": 1})
        first = await update(here, base, ChangeRequest("b", {"b": 2}))
        second = await update(here, first, ChangeRequest("b", {"b": 3}))
        other = await here.make("small", {"a": 2, "b": 2, "c": 1})
    env = {"ORCHESTRATOR_DATABASE_URL": database_url, "ORCHESTRATOR_DATA_DIR": str(tmp_path)}

    def compared(*runs: str) -> tuple[list[str], list[str]]:
        found = call("diff", *runs, "--json", env=env).document
        return [step["stepId"] for step in found["steps"]], found["reused"]

    assert compared(base, first) == compared(first, second) == compared(base, second) == (["b", "d"], ["a", "c"])
    told = call("diff", base, first, env=env).out
    assert "reused and therefore identical: a, c" in told
    found = call("diff", first, other, "--json", env=env).document  # reused, but from a run with other results
    fields = {each["field"] for step in found["steps"] if step["stepId"] == "a" for each in step["differences"]}
    assert {"data.saw.a", "outputHash", "artifacts[0].contentHash"} <= fields
    moment = call("replay", first, "--json", env=env).document
    assert [step["artifacts"] != [] for step in moment["steps"] if step["stepId"] in ("a", "c")] == [True, True]
