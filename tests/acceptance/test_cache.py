"""The step cache in a terminal: look into it, ask why, withdraw results."""

import json
from pathlib import Path

import pytest

from orchestrator.cli.output.terminal import size
from tests.world.programs import FIXTURES, Done, call

CHAIN = FIXTURES / "chain.yaml"
SKILLS = ("--skills", FIXTURES / "links.py")


@pytest.fixture
def env(database_url: str, home: Path) -> dict[str, str]:
    return {"ORCHESTRATOR_DATABASE_URL": database_url, "ORCHESTRATOR_DATA_DIR": str(home)}


def ran(env: dict[str, str], home: Path, **payload: object) -> str:
    """The id of a run of the chain."""
    given = json.dumps({"file": str(home / "made"), **payload})
    done = call("run", CHAIN, "--payload", given, *SKILLS, "--json", env=env)
    assert done.code == 0, done.err
    return str(done.document["id"])


def test_what_is_in_the_cache_and_what_is_taken_out_of_it(env: dict[str, str], home: Path) -> None:
    def asked(*words: str | Path) -> Done:
        done = call("cache", *words, env=env)
        assert done.code == 0, done.err
        return done

    assert asked("stats", "--json").document == {"entries": 0, "sizeBytes": 0, "steps": []}
    assert asked("stats").out == "the cache is empty\n"
    first = ran(env, home)
    stats = asked("stats", "--json").document
    assert stats["entries"] == len(stats["steps"]) == 6
    assert stats["sizeBytes"] == sum(step["sizeBytes"] for step in stats["steps"])
    workflow = stats["steps"][0]["workflowName"]
    assert f"6 results, {size(stats['sizeBytes'])}\n" in asked("stats").out
    entries = asked("list", "--json").document["entries"]
    assert {entry["runId"] for entry in entries} == {first}
    assert len(asked("list", "--workflow", workflow, "--step", "second", "--json").document["entries"]) == 1
    assert len(asked("list", "--limit", "2", "--json").document["entries"]) == 2
    assert entries[0]["key"] in asked("list").out

    assert asked("invalidate", "--key", entries[0]["key"]).out == "1 result removed\n"
    assert asked("invalidate", "--workflow", workflow, "--step", entries[1]["stepId"], "--json").document == {
        "withdrawn": 1
    }
    assert asked("prune", "--older-than", "1d").out == "0 results removed\n"
    assert asked("prune", "--max-entries", "3", "--json").document == {"withdrawn": 1}
    assert asked("prune", "--max-size", "0B", "--json").document == {"withdrawn": 3}
    assert asked("list").out == "no results\n"


def test_why_a_step_was_or_was_not_taken_from_the_cache(env: dict[str, str], home: Path) -> None:
    first = ran(env, home)
    second = ran(env, home)
    gate = str(home / "made")  # is there: the step that waits for it need not
    other = ran(env, home, gate=gate)
    hit = call("cache", "explain", second, "first", "--json", env=env).document
    assert (hit["runId"], hit["verdict"], hit["comparedWithRunId"]) == (second, "hit", first)
    miss = call("cache", "explain", other, "second", "--json", env=env).document
    assert miss["verdict"] == "miss"
    assert miss["differences"] == [{"field": "input.gate", "before": None, "after": gate}]
    told = call("cache", "explain", other, "second", env=env).out
    assert "input.gate" in told
    assert gate in told


def test_a_run_can_do_without_the_cache_or_force_some_steps(env: dict[str, str], home: Path) -> None:
    payload = json.dumps({"file": str(home / "made")})
    order = ("run", CHAIN, "--payload", payload, *SKILLS)

    def made() -> list[str]:
        """The steps executed since the last look, in order."""
        lines = (home / "made").read_text().split()
        (home / "made").write_text("")
        return lines

    every = ["first", "second", "third", "fourth", "fifth", "last"]
    ran(env, home)
    assert made() == every
    ran(env, home)
    assert made() == []
    forced = call(*order, "--force", "last", "--force", "second", "--json", env=env)
    assert made() == ["second", "last"]
    assert forced.document["stepsSummary"]["skipped"] == 4
    assert call(*order, "--no-cache", "--json", env=env).document["stepsSummary"]["completed"] == 6
    assert made() == every
    told = call("cache", "explain", forced.document["id"], "last", env=env).out
    assert "forced by the trigger" in told
    wrong = call(*order, "--force", "secnod", env=env)
    assert (wrong.code, wrong.out) == (1, "")
    assert wrong.err == ("error: force names step 'secnod', which chain.v1 does not have; did you mean 'second'?\n")
    queued = call("trigger", "chain.v1", "--payload", payload, "--no-cache", "--json", env=env).document["runId"]
    history = call("history", queued, "--json", env=env).document["events"]
    assert history[0]["data"]["forced"] == every
    (home / "each").write_text(f"{payload}\n" * 2)
    batch = call("trigger", "chain.v1", "--each", home / "each", "--force", "third", "--json", env=env).document
    for run in batch["runs"]:
        history = call("history", run["runId"], "--json", env=env).document["events"]
        assert history[0]["data"]["forced"] == ["third"]


def test_changed_code_is_another_version_for_run_unless_the_setting_says_otherwise(
    env: dict[str, str], home: Path
) -> None:
    source = home / "links.py"

    def run(code: str, **setting: str) -> Done:
        source.write_text((FIXTURES / "links.py").read_text() + f"\n# {code}\n")
        payload = json.dumps({"file": str(home / "made")})
        done = call("run", CHAIN, "--payload", payload, "--skills", source, "--json", env=env | setting)
        assert done.code == 0, done.err
        return done

    def executed(done: Done) -> int:
        return int(done.document["stepsSummary"]["completed"])

    assert executed(run("one")) == 6
    assert executed(run("one")) == 0
    changed = run("two")
    assert executed(changed) == 6
    told = call("cache", "explain", changed.document["id"], "first", "--json", env=env).document
    (difference,) = told["differences"]
    assert difference["field"] == "skill"
    assert difference["before"].startswith("chain.link@1+")
    assert difference["after"].startswith("chain.link@1+")
    assert executed(run("one")) == 0, "the results of the earlier code are still there"

    warn = {"ORCHESTRATOR_SKILL_FINGERPRINT": "warn"}
    assert executed(run("one", **warn)) == 6, "the version alone is another one than with the code"
    warned = run("two", **warn)
    assert executed(warned) == 0
    assert warned.err.count("code changed, but the version did not") == 1
    assert "chain.link@1" in warned.err
    assert "code changed" not in run("two", **warn).err
    wrong = call("run", CHAIN, env=env | {"ORCHESTRATOR_SKILL_FINGERPRINT": "always"})
    assert wrong.code == 1
    assert "ORCHESTRATOR_SKILL_FINGERPRINT" in wrong.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("explain", "nonsense", "first"), "Invalid run id 'nonsense'"),
        (("explain", "0197a6c2-1b7e-7c42-9d5c-2f3e8a1b4c5d", "first"), "There is no run 0197a6c2"),
        (("invalidate",), "No results given"),
        (("invalidate", "--step", "first"), "--step needs --workflow"),
        (("prune",), "No limit given"),
        (("prune", "--older-than", "yesterday"), "Invalid age 'yesterday'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(env: dict[str, str], words: tuple[str, ...], said: str) -> None:
    done = call("cache", *words, env=env)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"error: {said}")
    assert done.err.count("\n") == 1


def test_a_step_that_is_not_there_is_named(env: dict[str, str], home: Path) -> None:
    run_id = ran(env, home)
    done = call("cache", "explain", run_id, "nothing", env=env)
    assert done.code == 1
    assert "has no step 'nothing'" in done.err
