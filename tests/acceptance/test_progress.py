"""What `ctx.progress` says is seen by whoever looks at the run, in whichever process the skill runs."""

import json
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from orchestrator import Client
from tests.waiting import eventually
from tests.world.programs import FIXTURES, Program, call

FILES = ("--skills", FIXTURES / "telling.py")


@pytest.mark.parametrize("executor", ["thread", "process"])
def test_progress_reaches_the_api_from_another_process(
    executor: str, database_url: str, home: Path, programs: ExitStack
) -> None:
    env = {"ORCHESTRATOR_DATABASE_URL": database_url, "ORCHESTRATOR_DATA_DIR": str(home)}
    words = ("api", "--port", "0", "--workflows", FIXTURES / "telling.yaml")
    api = programs.enter_context(Program(*words, env=env))
    worker = programs.enter_context(Program("worker", *FILES, "--executor", executor, env=env))
    server = api.ready()
    with Client(server) as client:
        payload = {"more": str(home / "more"), "end": str(home / "end")}
        run_id = client.trigger("telling.v1", payload)["runId"]

        def told() -> dict[str, tuple[str, float, str | None]]:
            return {
                step["stepId"]: (step["status"], step["progress"], step["progressMessage"])
                for step in client.steps(run_id)
            }

        watching = [
            programs.enter_context(Program("status", run_id, "--watch", *target, env=env))
            for target in (("--server", server), ())
        ]
        reports: list[tuple[str, float, str]] = []

        def listen() -> None:
            with Client(server) as another:
                for document in another.events(run_id, progress=True):
                    if document["type"] == "StepProgress":
                        data = document["data"]
                        reports.append((data["step"], data["fraction"], data["message"]))

        listener = threading.Thread(target=listen)
        listener.start()
        first = {"thread": ("running", 0.25, "a quarter"), "loop": ("running", 1.0, "")}
        eventually(told, what="both have told", right=lambda found: found == first)
        assert "25% a quarter" in call("steps", run_id, "--server", server).out
        assert "thread 25% a quarter" in call("status", run_id, env=env).out
        eventually(lambda: {("thread", 0.25, "a quarter"), ("loop", 1.0, "")} <= set(reports))
        for command in watching:
            eventually(lambda command=command: "step thread 25% a quarter" in command.err)
        (home / "more").touch()
        eventually(lambda: told()["thread"] == ("running", 0.75, "three \N{REPLACEMENT CHARACTER}quarters"))
        (home / "end").touch()
        assert client.wait(run_id, timeout=60)["status"] == "completed"
        eventually(lambda: told() == {"thread": ("completed", 1.0, None), "loop": ("completed", 1.0, None)})
        listener.join(60)
        assert not listener.is_alive(), "the stream ends with the run"
        assert ("thread", 0.75, "three \N{REPLACEMENT CHARACTER}quarters") in reports
        assert len(reports) == len(set(reports)), "what has not changed is not sent again"
        events = [event["type"] for event in client.history(run_id)]
        assert sorted(set(events)) == ["RunCompleted", "RunStarted", "RunTriggered", "StepCompleted", "StepStarted"]
        assert len(events) == 7
    assert worker.stop() == 0
    assert "progress of steps not written" not in worker.err


def test_progress_of_an_attempt_that_failed_is_gone(database_url: str, home: Path) -> None:
    (home / "fails.py").write_text(
        "from orchestrator import skill\n\n\n@skill('fails')\ndef fails(input, ctx):\n"
        "    ctx.progress(0.5, 'half')\n    raise ValueError('broken')\n"
    )
    flow = {"workflowName": "fails", "version": "1", "steps": [{"stepId": "one", "skillId": "fails"}]}
    (home / "fails.json").write_text(json.dumps(flow))
    env = {"ORCHESTRATOR_DATABASE_URL": database_url, "ORCHESTRATOR_DATA_DIR": str(home)}
    run = call("run", home / "fails.json", "--skills", home / "fails.py", "--json", env=env).document
    (step,) = call("steps", run["id"], "--json", env=env).document["steps"]
    assert (step["status"], step["progress"], step["progressMessage"]) == ("failed", 0.0, None)
