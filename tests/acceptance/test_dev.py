"""Programs that serve: dev, api, worker. Killed, stopped, started again; several on one data directory."""

import json
import signal
from contextlib import ExitStack
from pathlib import Path

from tests.waiting import eventually
from tests.world.programs import CAMPAIGN, FIXTURES, Program, Site, call, completed, started

BRIEF = json.loads((CAMPAIGN / "brief.json").read_text())
SKILLS = ("--skills", FIXTURES / "links.py")
CHAIN = ("--workflows", FIXTURES / "chain.yaml")


def dev(home: Path, *words: str | Path, env: dict[str, str] | None = None) -> Program:
    return Program("dev", "--port", "0", "--data-dir", home, *words, env=env)


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def test_dev_runs_what_is_triggered_over_http(home: Path, programs: ExitStack) -> None:
    program = programs.enter_context(dev(home, *CHAIN, *SKILLS))
    address = program.ready()
    site = programs.enter_context(Site(address))

    run_id = site.trigger("chain.v1", {"file": str(home / "made")})
    run = site.ended(run_id)

    assert run["status"] == "completed"
    assert run["stepsSummary"]["completed"] == 6
    assert lines(home / "made") == ["first", "second", "third", "fourth", "fifth", "last"]
    assert call("status", run_id, "--data-dir", home, "--json").document["status"] == "completed"
    assert program.stop() == 0
    assert program.out == f"ready {address}\n"
    assert address.startswith("http://127.0.0.1:")


def test_killed_in_the_middle_it_goes_on_where_it_was(home: Path, programs: ExitStack) -> None:
    words = ("--workflows", CAMPAIGN / "campaign.build.v1.yaml", "--skills", CAMPAIGN / "skills")
    first = programs.enter_context(dev(home, *words))
    site = programs.enter_context(Site(first.ready()))
    run_id = site.trigger("campaign.build.v1", BRIEF)
    eventually(lambda: len(completed(site.events(run_id))) >= 3)
    first.kill()

    second = programs.enter_context(dev(home, *words))
    site = programs.enter_context(Site(second.ready()))
    run, events = site.ended(run_id), site.events(run_id)
    recovered = next(place for place, event in enumerate(events) if event["type"] == "RunRecovered")
    before, after = events[:recovered], events[recovered:]

    assert run["status"] == "completed"
    assert run["stepsSummary"]["completed"] == 13
    assert len(completed(before)) >= 3
    assert not started(after).keys() & set(completed(before)), "a completed step was executed again"
    assert sorted(completed(events)) == sorted(set(completed(events)))
    assert started(events).keys() == set(completed(events))
    assert set(started(events).values()) <= {1, 2}
    assert second.stop() == 0
    told = [line["position"] for line in (*first.log, *second.log) if "position" in line]
    assert told == sorted(set(told)), "a restart repeated lines of the journal, or told them out of order"
    assert "run completed" in [line["message"] for line in second.log]


def test_a_worker_told_to_stop_hands_over_and_nothing_is_executed_twice(home: Path, programs: ExitStack) -> None:
    made, gate = home / "made", home / "gate"
    long_lease = {"ORCHESTRATOR_LEASE_SECONDS": "600"}
    call("workflows", "register", FIXTURES / "chain.yaml", "--data-dir", home)
    first = programs.enter_context(Program("worker", "--data-dir", home, *SKILLS, env=long_lease))
    one = first.ready().removeprefix("worker ")
    payload = json.dumps({"file": str(made), "gate": str(gate)})
    run_id = call("trigger", "chain.v1", "--payload", payload, "--data-dir", home).out.strip()
    eventually(lambda: lines(made) == ["first"])
    second = programs.enter_context(Program("worker", "--data-dir", home, *SKILLS, env=long_lease))
    other = second.ready().removeprefix("worker ")

    first.process.send_signal(signal.SIGTERM)
    eventually(lambda: "stopping" in first.err, shows=lambda: first.err)
    gate.touch()
    assert first.wait() == 0
    watched = call("status", run_id, "--watch", "--data-dir", home, "--json")

    assert watched.document["status"] == "completed"
    assert lines(made) == ["first", "second", "third", "fourth", "fifth", "last"]
    events = call("history", run_id, "--data-dir", home, "--json").document["events"]
    workers = {event["data"]["step"]: event["actor"] for event in events if event["type"] == "StepCompleted"}
    assert list(workers.values()) == [one, one, other, other, other, other]
    assert set(started(events).values()) == {1}
    assert second.stop(signal.SIGINT) == 0


def test_api_and_worker_share_a_data_directory(home: Path, programs: ExitStack) -> None:
    api = programs.enter_context(Program("api", "--port", "0", "--data-dir", home, *CHAIN))
    worker = programs.enter_context(Program("worker", "--data-dir", home, *SKILLS))
    site = programs.enter_context(Site(api.ready()))
    worker.ready()

    run = site.ended(site.trigger("chain.v1", {"file": str(home / "made")}))

    assert run["status"] == "completed"
    assert [line["message"] for line in api.log if line.get("run_id") == run["id"]][-1] == "run completed"
    assert not [line for line in worker.log if "run_id" in line], "the journal has one writer"
    assert worker.stop() == 0
    assert api.stop() == 0


def test_a_run_without_its_skill_waits_for_a_worker_that_knows_it(home: Path, programs: ExitStack) -> None:
    program = programs.enter_context(dev(home, *CHAIN))
    site = programs.enter_context(Site(program.ready()))
    run_id = site.trigger("chain.v1", {"file": str(home / "made")})
    eventually(lambda: site.get(f"/runs/{run_id}"), what="it is blocked", right=lambda run: run["status"] == "blocked")

    programs.enter_context(Program("worker", "--data-dir", home, *SKILLS))

    assert site.ended(run_id)["status"] == "completed"
    assert "chain.link" in program.err
