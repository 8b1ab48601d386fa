import asyncio
import json
from dataclasses import replace
from typing import Any

import httpx
import pytest

from orchestrator.api.app import create_app
from orchestrator.application.core import Core
from orchestrator.domain.workflow import workflow_to_json
from tests.world.core import register
from tests.world.http import LIMITS, RUNS, connect, trigger
from tests.world.lines import FAULTY, LINE

WORKFLOWS = "/api/v1/workflows"
YAML = {"Content-Type": "application/yaml"}
TEXT = """
workflowName: greet.v1
version: "1.0 β"
description: Greets
steps:
  - {stepId: find, skillId: people.find, input: {id: trigger.id}}
  - stepId: greet
    skillId: text.greet
    dependsOn: [find]
    input: {name: steps.find.data.name, run: run.id}
    retryPolicy: {maxAttempts: 3}
changeTypes: {person.update: {seeds: [find]}}
"""


async def test_a_definition_is_registered_once(core: Core, client: httpx.AsyncClient) -> None:
    answer = await client.post(WORKFLOWS, content=TEXT, headers=YAML)
    assert answer.status_code == 201
    body = answer.json()
    assert (body["workflowName"], body["version"], body["stepCount"]) == ("greet.v1", "1.0 β", 2)
    assert [warning["path"] for warning in body["warnings"]] == ["steps[1].input.run"]
    assert int(answer.headers["x-log-position"]) == core.log.last_position()
    again = await client.post(WORKFLOWS, content=TEXT, headers=YAML)
    assert (again.status_code, again.json()) == (200, body)
    found = await client.get(answer.headers["location"])
    assert found.status_code == 200
    workflow = found.json()
    assert workflow["stepCount"] == 2
    assert workflow["changeTypes"] == {"person.update": {"seeds": ["find"], "force": False}}
    assert workflow["steps"][1]["retryPolicy"]["maxAttempts"] == 3
    assert workflow["digest"] == body["digest"]
    assert workflow["versions"] == ["1.0 β"]


async def test_json_and_yaml_of_one_content_are_one_version(core: Core, client: httpx.AsyncClient) -> None:
    await register(core, LINE)
    answer = await client.post(WORKFLOWS, json=workflow_to_json(LINE))
    assert answer.status_code == 200


async def test_a_version_never_changes(client: httpx.AsyncClient) -> None:
    assert (await client.post(WORKFLOWS, content=TEXT, headers=YAML)).status_code == 201
    other = TEXT.replace("Greets", "Greets twice")
    answer = await client.post(WORKFLOWS, content=other, headers=YAML)
    assert (answer.status_code, answer.json()["error"]) == (409, "VERSION_EXISTS")
    assert answer.json()["details"] == {"workflowName": "greet.v1", "version": "1.0 β"}


async def test_many_who_register_the_same_at_once_agree(core: Core, client: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(client.post(WORKFLOWS, content=TEXT, headers=YAML) for _ in range(5)))
    # The log cannot tell two askers of one millisecond apart: then both have registered it, once.
    assert {answer.status_code for answer in answers} <= {200, 201}
    assert 201 in {answer.status_code for answer in answers}
    assert core.log.last_position() == 1


async def test_every_fault_is_listed(core: Core, client: httpx.AsyncClient) -> None:
    definition: dict[str, Any] = {
        "workflowName": "No Good",
        "version": "1",
        "surprise": 1,
        "steps": [
            {"stepId": "a", "skillId": "s", "dependsOn": ["b"]},
            {"stepId": "b", "skillId": "s", "dependsOn": ["a", "c"], "input": {"x": "=="}},
        ],
    }
    answer = await client.post(WORKFLOWS, json=definition)
    assert (answer.status_code, answer.json()["error"]) == (400, "VALIDATION_ERROR")
    paths = {fault["path"] for fault in answer.json()["details"]["faults"]}
    assert {"workflowName", "surprise", "steps[1].dependsOn[1]", "steps[1].input.x"} <= paths
    assert any("cycle" in fault["message"] for fault in answer.json()["details"]["faults"])
    assert core.log.last_position() == 0


RUBBISH = [
    (b"", "application/json", "line 1, column 1"),
    (b"", "application/yaml", "document"),
    (b"{", "application/json", "line 1, column 2"),
    (b"[1]", "application/json", "document"),
    (b'{"version": "1", "version": "2"}', "application/json", "version"),
    (b"a: [", "text/yaml", "line"),
    (b"a: 1\na: 2", "application/x-yaml", "a"),
    (b"\xff", "application/json", "body"),
    (json.dumps({**workflow_to_json(LINE), "description": "\0"}).encode(), "application/json", "description"),
    (json.dumps({**workflow_to_json(LINE), "description": "\ud800"}).encode(), "application/json", "description"),
    (TEXT.replace("Greets", r'"\0"').encode(), "application/yaml", "description"),
    (b"[" * 100_000, "application/json", "document"),
    (b"a: " + b"[" * 10_000, "application/yaml", "line"),
    (
        b"a: &a [1,1]\nb: &b [*a,*a]\nc: &c [*b,*b]\n"
        + b"".join(
            b"%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n" % (n + 1, n + 1, *[n] * 9) for n in range(99, 115)
        ),
        "application/yaml",
        "",
    ),
]


async def test_rubbish_is_refused(client: httpx.AsyncClient, subtests: pytest.Subtests) -> None:
    for body, kind, told in RUBBISH:
        with subtests.test(told, kind=kind, body=body[:60]):
            answer = await client.post(WORKFLOWS, content=body, headers={"Content-Type": kind})
            assert answer.status_code == 400, answer.text
            assert any(told in fault["path"] for fault in answer.json()["details"]["faults"]), answer.text


async def test_a_key_given_twice_is_a_fault_even_if_all_else_is_well(client: httpx.AsyncClient) -> None:
    answer = await client.post(WORKFLOWS, content=TEXT + "description: Greets again\n", headers=YAML)
    assert answer.status_code == 400
    assert [fault["path"] for fault in answer.json()["details"]["faults"]] == ["description"]


async def test_another_kind_of_body_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post(WORKFLOWS, content=TEXT, headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415


async def test_the_list_shows_the_newest_version_of_each(core: Core, client: httpx.AsyncClient) -> None:
    await register(core, LINE)
    for version in ("1", "2", "1.5"):
        await client.post(WORKFLOWS, content=TEXT.replace("1.0 β", version), headers=YAML)
    listed = (await client.get(WORKFLOWS)).json()["workflows"]
    assert [(each["workflowName"], each["version"], each["stepCount"]) for each in listed] == [
        ("greet.v1", "1.5", 2),
        ("test.line", "1", 2),
    ]
    newest = (await client.get(f"{WORKFLOWS}/greet.v1")).json()
    assert (newest["version"], newest["versions"]) == ("1.5", ["1", "2", "1.5"])
    older = (await client.get(f"{WORKFLOWS}/greet.v1", params={"version": "2"})).json()
    assert older["version"] == "2"


async def test_what_is_not_there_is_not_found(core: Core, client: httpx.AsyncClient) -> None:
    await register(core, LINE)
    for path in ("/nobody", "/test.line?version=9", "/Test.Line"):
        answer = await client.get(f"{WORKFLOWS}{path}")
        assert (answer.status_code, answer.json()["error"]) == (404, "WORKFLOW_NOT_FOUND"), path
    for path in ("/a%00b", "/test.line?version=", "/test.line?v=1", f"/{'x' * 256}"):
        assert (await client.get(f"{WORKFLOWS}{path}")).status_code == 400, path
    others = core.settings.model_copy(update={"tenant": "others"})
    async with connect(create_app(replace(core, settings=others), LIMITS)) as stranger:
        assert (await stranger.get(f"{WORKFLOWS}/test.line")).status_code == 404
        assert (await stranger.get(WORKFLOWS)).json() == {"workflows": []}


async def test_the_name_that_was_meant_is_named(core: Core, client: httpx.AsyncClient) -> None:
    await register(core, LINE)
    await register(core, FAULTY, tenant="them")
    run_id = await trigger(client)

    async def said(method: str, path: str, **request: Any) -> str:
        answer = await client.request(method, path, **request)
        assert answer.status_code in {400, 404}
        return str(answer.json()["message"])

    meant = "; did you mean 'test.line'?"
    assert await said("POST", RUNS, json={"workflowName": "test.lime"}) == f"unknown workflow test.lime{meant}"
    assert (await said("POST", f"{RUNS}:batch", json={"runs": [{"workflowName": "test.lin"}]})).endswith(meant)
    assert (await said("GET", f"{WORKFLOWS}/test.lines")).endswith(meant)
    assert await said("GET", f"{WORKFLOWS}/test.line?version=2") == (
        "workflow test.line has no version '2'; the latest is 1"
    )
    assert (await said("GET", f"{RUNS}/{run_id}/steps/wrte/data")).endswith("has no step 'wrte'; did you mean 'write'?")
    assert (await said("GET", "/api/v1/run")) == "no such path; /docs lists the endpoints"


async def test_no_name_of_another_tenant_is_told(core: Core, client: httpx.AsyncClient) -> None:
    await register(core, FAULTY, tenant="them")
    answer = await client.post(RUNS, json={"workflowName": "test.fault"})
    assert answer.json()["message"] == "unknown workflow test.fault"
