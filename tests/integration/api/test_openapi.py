"""The document says what is so: every answer of a whole visit fits the schema given for its status."""

import json
import re
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from orchestrator.api.app import Api
from orchestrator.application.core import Core
from tests.world.core import register
from tests.world.http import RUNS, finished, trigger, until_status
from tests.world.lines import SKILLS, STRANGE
from tests.world.work import at_work


@pytest.fixture
def document(app: Api) -> dict[str, Any]:
    return app.openapi()


def test_schemas_have_the_names_of_the_api(document: dict[str, Any]) -> None:
    """Generated clients name their classes after them; `RunView` and `TriggerRunBody` are names of our own."""
    schemas = document["components"]["schemas"]
    assert {"Run", "Step", "RunSteps", "Artifact", "Workflow", "Plan", "Fault"} <= set(schemas)
    assert {"TriggerRun", "TriggerRuns", "CancelRun", "ChangeRequest", "PlanUpdate", "UpdateRun"} <= set(schemas)
    assert [name for name, schema in schemas.items() if schema["title"] != name] == []
    refs = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert refs <= set(schemas)
    assert [name for name in schemas if name.endswith(("View", "Body"))] == []


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


async def test_it_is_served_and_has_every_call(client: httpx.AsyncClient, document: dict[str, Any]) -> None:
    assert (await client.get("/openapi.json")).json() == document
    assert {f"{method.upper()} {path.removeprefix('/api/v1')}" for method, path, _ in operations(document)} >= {
        "POST /runs",
        "GET /runs",
        "GET /runs/{runId}",
        "POST /runs/{runId}/cancel",
        "GET /runs/{runId}/steps",
        "GET /runs/{runId}/artifacts",
        "GET /artifacts/{artifactId}/content",
        "GET /runs/{runId}/events",
        "GET /runs/{runId}/events/stream",
        "GET /workflows",
        "GET /workflows/{workflowName}",
        "POST /workflows",
        "POST /workflows/{workflowName}/retire",
        "POST /workflows/{workflowName}/restore",
        "GET /health/live",
        "GET /health/ready",
        "GET /health/queues",
    }


def test_every_call_says_how_it_can_fail_in_the_one_shape(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        answers = operation["responses"]
        assert {"400", "500", "503"} <= answers.keys(), path
        assert "422" not in answers, path
        if "requestBody" in operation:
            assert {"408", "413", "415"} <= answers.keys(), path
        for status, answer in answers.items():
            if status >= "400":
                assert answer["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Error"}, path
        assert operation["summary"], (method, path)
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_every_call_that_names_a_run_says_that_it_may_be_gone(document: dict[str, Any]) -> None:
    """Archived and deleted runs are 410 wherever an unknown one is 404; for a trigger, by its Idempotency-Key."""
    named = [
        (method, path, operation["responses"])
        for method, path, operation in operations(document)
        if "{runId}" in path or (method, path) in {("POST", "/runs"), ("POST", "/runs:batch")}
    ]
    assert len(named) > 15
    for method, path, answers in named:
        assert {"404", "410"} <= answers.keys(), (method, path)


def test_names_on_the_wire_are_in_camel_case(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        assert not [field for field in schema.get("properties", {}) if "_" in field], name
    for _, path, operation in operations(document):
        assert not [each["name"] for each in operation.get("parameters", ()) if "_" in each["name"]], path


def test_calls_have_plain_names(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(names)) == len(names)
    verbs = (
        r"(analyse|beat|cancel|create|delete|get|list|plan|poll|rebuild|register|report|restore|retire|retry|stream|"
        r"trigger|update)"
    )
    assert [name for name in names if not re.fullmatch(verbs + r"[A-Z][A-Za-z]*", name)] == []
    assert {"getRun", "triggerRun", "triggerRuns", "getArtifactContent", "registerWorkflow"} <= set(names)


def test_bodies_are_of_types_that_generators_know(document: dict[str, Any]) -> None:
    """What `openapi-python-client` and `openapi-typescript` make something of; of others they warn."""
    for _, path, operation in operations(document):
        asked = operation.get("requestBody", {}).get("content", {})
        assert asked.keys() <= {"application/json", "application/octet-stream"}, path
        for answer in operation["responses"].values():
            known = {"application/json", "application/octet-stream", "text/event-stream", "text/plain"}
            found = answer.get("content", {"application/json": None}).keys()
            assert next(iter(found)) in known, path  # they take the first that they know
            assert found <= known | {"*/*"}, path


async def test_a_workflow_can_be_registered_as_a_file(client: httpx.AsyncClient) -> None:
    text = b"workflowName: a.file\nversion: '1'\nsteps:\n  - {stepId: one, skillId: test.read}\n"
    for kind, status in (("application/octet-stream", 201), ("application/yaml", 200)):
        answer = await client.post("/api/v1/workflows", content=text, headers={"Content-Type": kind})
        assert answer.status_code == status, answer.text


async def test_the_pages_load_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")
    assert page.status_code == 200
    found = re.findall(r'(?:src|href)="([^"]*)"', page.text)
    assert found == ["data:,", "docs/swagger-ui.css", "docs/swagger-ui.js", "docs/start.js"]
    assert not re.search(r"<script>|<style|https?://|\son\w+=", page.text)
    policy = page.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "http" not in policy
    sizes = {}
    for path in found[1:]:
        answer = await client.get(f"/{path}")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(("text/css", "text/javascript"))
        assert answer.headers["x-content-type-options"] == "nosniff"
        sizes[path] = len(answer.content)
    assert sizes["docs/swagger-ui.js"] > 1_000_000
    assert sizes["docs/swagger-ui.css"] > 100_000
    assert 'url: "openapi.json"' in (await client.get("/docs/start.js")).text
    for other in ("/redoc", "/docs/", "/docs/oauth2-redirect", "/docs/../pyproject.toml", "/docs/swagger-ui.map"):
        assert (await client.get(other)).status_code == 404


class Visitor:
    """Asks, and checks what comes against the document."""

    def __init__(self, client: httpx.AsyncClient, document: dict[str, Any]) -> None:
        self._client = client
        self._document = document

    async def ask(self, method: str, path: str, url: str, **options: Any) -> httpx.Response:
        answer = await self._client.request(method, url, **options)
        described = self._document["paths"][f"/api/v1{path}"][method.lower()]["responses"][str(answer.status_code)]
        for name in described.get("headers", {}):
            assert name in answer.headers
        content = described.get("content", {}).get("application/json")
        if content is not None:
            schema = {**content["schema"], "components": self._document["components"]}
            checker = Draft202012Validator.FORMAT_CHECKER
            Draft202012Validator(schema, format_checker=checker).validate(answer.json())
        return answer


@pytest.mark.parametrize("workflow", ["test.line", "test.faulty"])
async def test_what_is_said_is_what_comes(
    core: Core, client: httpx.AsyncClient, document: dict[str, Any], workflow: str
) -> None:
    visitor = Visitor(client, document)
    run = await finished(core, client, workflow, labels={"a": "b"}, triggerPayload={"text": "x"})
    url = f"{RUNS}/{run['id']}"
    await visitor.ask("GET", "/runs/{runId}", url)
    await visitor.ask("GET", "/runs/{runId}", f"{url}?at=1")
    await visitor.ask("GET", "/runs/{runId}", f"{RUNS}/x")
    await visitor.ask("GET", "/runs", f"{RUNS}?limit=1")
    await visitor.ask("GET", "/runs/{runId}/steps", f"{url}/steps")
    await visitor.ask("GET", "/runs/{runId}/events", f"{url}/events?limit=2")
    await visitor.ask("POST", "/runs/{runId}/cancel", f"{url}/cancel")
    found = await visitor.ask("GET", "/runs/{runId}/artifacts", f"{url}/artifacts")
    for artifact in found.json()["artifacts"]:
        content = "/artifacts/{artifactId}/content"
        await visitor.ask("GET", content, f"/api/v1/artifacts/{artifact['id']}/content")
        await visitor.ask("GET", content, f"/api/v1/artifacts/{artifact['id']}/content", headers={"Range": "bytes=-0"})
    accepted = await visitor.ask("POST", "/runs", RUNS, json={"workflowName": workflow})
    await visitor.ask("POST", "/runs/{runId}/cancel", f"{RUNS}/{accepted.json()['runId']}/cancel", json={})
    await visitor.ask("POST", "/runs", RUNS, json={"workflowName": "nobody"})
    await visitor.ask("POST", "/runs", RUNS, content=b"x", headers={"Content-Type": "text/plain"})
    listed = await visitor.ask("GET", "/workflows", "/api/v1/workflows")
    assert len(listed.json()["workflows"]) == 2
    shown = await visitor.ask("GET", "/workflows/{workflowName}", f"/api/v1/workflows/{workflow}")
    definition = {
        name: value
        for name, value in shown.json().items()
        if name not in ("stepCount", "digest", "registeredAt", "retiredAt", "versions")
    }
    assert (await visitor.ask("POST", "/workflows", "/api/v1/workflows", json=definition)).status_code == 200
    for verb in ("retire", "restore"):
        await visitor.ask(
            "POST", f"/workflows/{{workflowName}}/{verb}", f"/api/v1/workflows/{workflow}/{verb}", json={}
        )
    definition["version"] = "2"
    assert (await visitor.ask("POST", "/workflows", "/api/v1/workflows", json=definition)).status_code == 201
    for path in ("/health/live", "/health/ready", "/health/queues"):
        await visitor.ask("GET", path, f"/api/v1{path}")
    await register(core, STRANGE)
    async with at_work(core, SKILLS):
        blocked = await trigger(client, "test.strange")
        await until_status(client, blocked, "blocked")
        await visitor.ask("GET", "/runs/{runId}", f"{RUNS}/{blocked}")
