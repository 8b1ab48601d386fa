"""The past of runs through the command line: as they were, what is different, and whether it could have happened."""

import psycopg

from orchestrator.postgres.sql import load_sql
from tests.integration.audit.conftest import Recording, Verb

SQL = load_sql(__file__)


def test_a_run_as_it_was(fates_url: str, recording: Recording, verb: Verb) -> None:
    run_id = recording.ids[0]
    events = verb(fates_url, "history", run_id, "--json").document["events"]
    now = verb(fates_url, "replay", run_id, "--json").document
    assert now["run"]["status"] == "completed"
    assert {step["status"] for step in now["steps"]} == {"completed"}
    first = verb(fates_url, "replay", run_id, "--at", "1", "--json").document
    assert first["run"]["status"] == "queued"
    assert {step["status"] for step in first["steps"]} == {"pending"}
    half = next(event for event in events if event["type"] == "StepCompleted")
    then = verb(fates_url, "replay", run_id, "--at", str(half["version"]), "--json").document
    assert {step["stepId"]: step["status"] for step in then["steps"]}[half["data"]["step"]] == "completed"
    assert then["run"]["status"] == "running"
    assert then["run"]["version"] == half["version"]
    assert verb(fates_url, "replay", run_id, "--at", events[-1]["at"], "--json").document == now
    told = verb(fates_url, "replay", run_id).out
    assert told.index("plan") < told.index("left") < told.index("join")
    assert "plan.txt" in told


def test_event_by_event(fates_url: str, recording: Recording, verb: Verb) -> None:
    run_id = recording.ids[6]
    frames = verb(fates_url, "replay", run_id, "--step", "--json").document["frames"]
    assert [frame["event"]["version"] for frame in frames] == list(range(1, len(frames) + 1))
    assert frames[-1]["status"] == "failed"
    steps: dict[str, str] = {}
    for frame in frames:
        for change in frame["changes"]:
            assert steps.get(change["stepId"], "pending") == change["before"]
            steps[change["stepId"]] = change["after"]
    assert steps["right"] == "failed"
    assert len(verb(fates_url, "replay", run_id, "--step", "--at", "3").out.splitlines()) == 3


def test_two_runs_and_two_moments_compared(fates_url: str, recording: Recording, verb: Verb) -> None:
    first, second, repeated = recording.ids[0], recording.ids[1], recording.ids[4]
    found = verb(fates_url, "diff", first, second, "--json").document
    assert found["payload"] == [{"field": "seed", "before": 0, "after": 1}]
    assert {step["stepId"] for step in found["steps"]} == {"plan", "left", "right", "join"}
    plan = next(step for step in found["steps"] if step["stepId"] == "plan")
    fields = {difference["field"] for difference in plan["differences"]}
    assert {"inputHash", "outputHash", "data.saw.seed", "artifacts[0].contentHash"} <= fields

    cached = verb(fates_url, "diff", first, repeated, "--json").document
    assert cached["payload"] == []
    assert all("data" not in each["field"] for step in cached["steps"] for each in step["differences"])
    assert {step["stepId"]: step["main"]["field"] for step in found["steps"]} == {
        "plan": "data.saw.seed",
        "left": "data.saw.of.saw.seed",
        "right": "data.saw.seed",
        "join": "data.saw.x.saw.of.saw.seed",
    }
    assert {step["stepId"]: step["main"] for step in cached["steps"]} == dict.fromkeys(
        ("plan", "left", "right", "join")
    )
    told = verb(fates_url, "diff", first, repeated).out
    assert "no differences" in told
    assert "same result, produced differently: plan, left, right, join" in told
    assert "--json" in told
    rows = verb(fates_url, "diff", first, second).out
    assert [len([line for line in rows.splitlines() if line.startswith(f"{name} ")]) for name in ("plan", "left")] == [
        1,
        1,
    ]
    failed = verb(fates_url, "diff", first, recording.ids[6], "--json").document
    mains = {step["stepId"]: step["main"] for step in failed["steps"]}
    assert mains["right"] == {"field": "status", "before": "completed", "after": "failed"}
    assert mains["join"] == {"field": "status", "before": "completed", "after": "pending"}
    moments = verb(fates_url, "diff", first, "--at", "1", "--at", "2", "--json").document
    assert moments["run"] == [{"field": "status", "before": "queued", "after": "running"}]
    assert moments["steps"] == []
    assert "no differences" in verb(fates_url, "diff", first, first).out


def test_histories_that_this_program_would_decide(fates_url: str, recording: Recording, verb: Verb) -> None:
    checked = verb(fates_url, "replay", "--check", "--all", "--json").document
    assert checked["accepted"]
    assert checked["runs"] == len(recording.ids) + 1  # the mixture leaves one unnamed
    assert verb(fates_url, "replay", recording.ids[6], "--check").code == 0

    with psycopg.connect(fates_url, autocommit=True) as connection:
        connection.execute(SQL.disarm)
        row = connection.execute(SQL.decide_otherwise, {"run_id": recording.ids[0]}).fetchone()
    assert row
    one = verb(fates_url, "replay", recording.ids[0], "--check", "--json")
    assert one.code == 1
    assert one.document["faults"][0]["position"] == row[0]
    assert "attempt 9" in one.document["faults"][0]["message"]
    everything = verb(fates_url, "replay", "--check", "--all", "--json")
    assert everything.code == 1
    assert {fault["runId"] for fault in everything.document["faults"]} == {recording.ids[0]}


def test_what_users_get_wrong(fates_url: str, recording: Recording, verb: Verb) -> None:
    run_id = recording.ids[0]
    assert "No run given" in verb(fates_url, "replay").complaint
    assert "--check --all" in verb(fates_url, "replay", "--all").complaint
    assert "cannot be combined" in verb(fates_url, "replay", run_id, "--check", "--at", "1").complaint
    assert "not yet at 999" in verb(fates_url, "replay", run_id, "--at", "999").complaint
    assert "must be a version" in verb(fates_url, "replay", run_id, "--at", "yesterday").complaint
    assert "did not exist" in verb(fates_url, "replay", run_id, "--at", "1999-01-01T00:00:00Z").err
    assert "Two moments" in verb(fates_url, "diff", run_id).complaint
