"""Workflows are retired and restored with the program: from the command line, over HTTP and with the client."""

from pathlib import Path

import httpx
import pytest

from orchestrator import Client
from orchestrator.client.errors import WorkflowNotFound, WorkflowRetired
from tests.acceptance.readme import write_example
from tests.world.programs import Program, call


@pytest.mark.timeout(300)
def test_a_workflow_is_retired_and_restored(home: Path) -> None:
    write_example(home)
    data = ("--data-dir", home / "data")
    words = ("--workflows", home / "hello.yaml", "--skills", home / "hello.py")
    with Program("dev", "--port", "0", *data, *words) as program:
        server = program.ready()
        with Client(server) as client:
            before = client.trigger("hello.v1", {"name": "Ada"})["runId"]
            done = call("workflows", "retire", "hello.v1", "--reason", "use hello.v2", "--server", server)
            assert (done.code, done.out) == (0, "retired hello.v1 1.0.0\n")
            again = call("workflows", "retire", "hello.v1", "--json", *data)
            assert again.document == {"workflowName": "hello.v1", "versions": []}

            with pytest.raises(WorkflowRetired, match=r"use hello\.v2") as refused:
                client.trigger("hello.v1", {"name": "Grace"})
            assert refused.value.details == {"workflowName": "hello.v1", "version": "1.0.0"}
            answer = httpx.post(f"{server}/api/v1/runs", json={"workflowName": "hello.v1", "triggerPayload": {}})
            assert (answer.status_code, answer.json()["error"]) == (409, "WORKFLOW_RETIRED")
            told = call("trigger", "hello.v1", "--payload", '{"name": "x"}', *data)
            assert (told.code, told.err.count("\n")) == (1, 1)
            assert "`orchestrator workflows restore hello.v1` lets it take runs again" in told.err
            assert client.wait(before)["status"] == "completed"
            with pytest.raises(WorkflowRetired):
                client.update(before, "payload.patch", {"name": "Mary"})

            assert "no workflows" in call("workflows", "list", *data).out
            listed = call("workflows", "list", "--retired", "--server", server).out
            assert "(retired)" in listed
            assert httpx.get(f"{server}/api/v1/workflows").json() == {"workflows": []}
            (entry,) = httpx.get(f"{server}/api/v1/workflows?retired=true").json()["workflows"]
            assert entry["retiredAt"] is not None
            assert client.workflow("hello.v1")["retiredAt"] == entry["retiredAt"]

            assert call("workflows", "restore", "hello.v1", *data).out == "restored hello.v1 1.0.0\n"
            after = client.trigger("hello.v1", {"name": "Grace"})["runId"]
            assert client.wait(after)["status"] == "completed"
            with pytest.raises(WorkflowNotFound):
                client.retire_workflow("hello.v1", version="9")
            bad = httpx.post(f"{server}/api/v1/workflows/hello.v1/retire", json={"reason": "x" * 1001})
            assert (bad.status_code, bad.json()["details"]["faults"][0]["path"]) == (400, "reason")
        assert program.stop() == 0
        assert [line["message"] for line in program.log if "workflow_versions" in line] == [
            "workflow retired",
            "workflow restored",
        ]
    assert call("audit", "verify", *data).code == 0
