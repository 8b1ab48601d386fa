"""Whatever one request asks for, a real server goes on answering the others meanwhile."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from orchestrator.postgres.embedded import EmbeddedPostgres
from tests.world.programs import Program

STEP = {"stepId": "a", "skillId": "nobody.knows"}


def doubling(levels: int) -> dict[str, Any]:
    """A schema in which each definition refers to the next one twice."""
    parts: dict[str, Any] = {
        f"d{level}": {"allOf": [{"$ref": f"#/$defs/d{level + 1}"}, {"$ref": f"#/$defs/d{level + 1}"}]}
        for level in range(levels)
    }
    return {"properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": {**parts, f"d{levels}": {"type": "object"}}}


def alternatives(levels: int) -> Any:
    return {"type": "string"} if levels == 0 else {"anyOf": [alternatives(levels - 1), alternatives(levels - 1)]}


def within(schema: Any) -> dict[str, Any]:
    return {"properties": {"a": schema}}


MIXED = [[number, {"n": number}, str(number)][number % 3] for number in range(20_000)]
TREE = {"$dynamicAnchor": "n", "properties": {side: {"$dynamicRef": "#n"} for side in "lr"}}


def tree(levels: int) -> dict[str, Any]:
    return {"l": tree(levels - 1), "r": tree(levels - 1)} if levels else {}


PAYLOADS: dict[str, tuple[Any, Any, int]] = {
    "a pattern with nested repetitions": (within({"pattern": "^([a-zA-Z0-9]+)+@x$"}), "a" * 41 + "!", 400),
    "keys for such a pattern": (
        within({"patternProperties": {"^(a|a)*$": False}}),
        {f"{'a' * 40}{number}": 1 for number in range(500)},
        202,
    ),
    "names for such a pattern": (within({"propertyNames": {"pattern": "^(a?){30}a{30}$"}}), {"a" * 29: 1}, 400),
    "other properties than such a pattern's": (
        within({"patternProperties": {"^([a-z]+)+@$": True}, "additionalProperties": False}),
        {"a" * 41: 1},
        400,
    ),
    "properties that such a pattern evaluates": (
        within({"patternProperties": {"^([a-z]+)+@$": True}, "unevaluatedProperties": False}),
        {"a" * 41: 1},
        400,
    ),
    "unique items of several types": (within({"uniqueItems": True}), MIXED, 202),
    "references that double": (doubling(40), {}, 400),
    "references that double, evaluated": (
        {**doubling(40), "properties": {"a": {"$ref": "#/$defs/d0", "unevaluatedProperties": False}}},
        {},
        400,
    ),
    "nested alternatives": (within(alternatives(10)), [1] * 10_000, 400),
    "a tree for a dynamic reference": (TREE | {"properties": {"a": TREE}}, tree(15), 202),
    "a large enum": (within({"items": {"enum": [[n] * 3 for n in range(10_000)]}}), [[1, 2]] * 1000, 400),
    "an item to be found": (within({"contains": {"const": -1}}), list(range(120_000)), 400),
    "a large payload for a cheap schema": (within({"type": "array"}), [[0.5]] * 120_000, 202),
}


def definition(name: str, schema: Any = None, steps: int = 1) -> dict[str, Any]:
    documents = [{**STEP, "stepId": f"s{number}"} for number in range(steps)]
    return {"workflowName": name, "version": "1", "steps": documents, **({"payloadSchema": schema} if schema else {})}


def dense(steps: int, needs: int) -> dict[str, Any]:
    """A workflow of many steps that each depend on several before them and read their results."""
    return {
        "workflowName": "dense",
        "version": "1",
        "steps": [
            {
                "stepId": f"s{number}",
                "skillId": "nobody.knows",
                "dependsOn": (before := [f"s{number - back}" for back in range(1, needs + 1) if number >= back]),
                "input": {name: f"steps.{name}.data" for name in before},
            }
            for number in range(steps)
        ],
    }


class Server:
    """A running program, asked by two clients at once."""

    def __init__(self, address: str) -> None:
        self._client = httpx.Client(base_url=address, timeout=60)
        self._other = httpx.Client(base_url=address, timeout=60)

    def close(self) -> None:
        self._client.close()
        self._other.close()

    def send(self, path: str, document: Any) -> httpx.Response:
        """Make a request with a JSON body."""
        with httpx.Client(base_url=self._client.base_url, timeout=60) as client:
            return client.post(path, json=document)

    def ask(self, method: str, path: str, document: Any = None) -> httpx.Response:
        """Make a request, and assert that the server answers others meanwhile. Text is sent as YAML."""
        answers: list[httpx.Response] = []
        content = document if document is None or isinstance(document, str) else json.dumps(document)
        headers = {"Content-Type": f"application/{'yaml' if isinstance(document, str) else 'json'}"}

        def make() -> None:
            answers.append(self._client.request(method, path, content=content, headers=headers))

        asking = threading.Thread(target=make)
        began = time.monotonic()
        asking.start()
        waits = []
        while asking.is_alive():
            asked = time.monotonic()
            assert self._other.get("/health/live").status_code == 200
            waits.append(time.monotonic() - asked)
        asking.join()
        took = time.monotonic() - began
        # Nothing is said about speed: a request that held the loop would leave others waiting for most of its time.
        longest = max(waits, default=0.0)
        assert longest < max(1.0, took / 3), f"{path}: another waited {longest:.2f} of {took:.2f} s"
        return answers[0]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("home")
    with ExitStack() as stack:
        stack.callback(lambda: EmbeddedPostgres(home).__enter__().__exit__(None, None, None))
        program = stack.enter_context(Program("dev", "--port", "0", "--data-dir", home))
        server = Server(program.ready())
        stack.callback(server.close)
        yield server


@pytest.mark.parametrize("case", PAYLOADS)
def test_others_are_answered_while_a_payload_is_checked(server: Server, case: str) -> None:
    schema, value, status = PAYLOADS[case]
    name = f"case.{list(PAYLOADS).index(case)}"
    registered = server.ask("POST", "/api/v1/workflows", definition(name, schema))
    assert registered.status_code == 201, registered.text[:500]
    answer = server.ask("POST", "/api/v1/runs", {"workflowName": name, "triggerPayload": {"a": value}})
    # 503: on a slow machine the request's own deadline comes before the end of its budget.
    assert answer.status_code in ((400, 503) if "double" in case else (status,)), answer.text[:500]
    if answer.status_code == 400:
        assert answer.json()["error"] == "VALIDATION_ERROR"


def test_others_are_answered_while_a_schema_is_checked(server: Server) -> None:
    schema = {**doubling(40), "$ref": "#/$defs/d0"}
    answer = server.ask("POST", "/api/v1/workflows", definition("endless", schema))
    assert answer.status_code in (400, 503)  # 503: the request's own deadline came first


@pytest.mark.parametrize(
    "document",
    [definition("wide", steps=10_000), dense(2_500, 8)],
    ids=["ten thousand steps", "many dependencies"],
)
def test_others_are_answered_while_a_large_workflow_is_registered_run_and_read(
    server: Server, document: dict[str, Any]
) -> None:
    name = document["workflowName"]
    assert server.ask("POST", "/api/v1/workflows", document).status_code == 201
    run = server.ask("POST", "/api/v1/runs", {"workflowName": name})
    assert run.status_code == 202
    run_id = run.json()["runId"]
    for path in (
        f"/workflows/{name}",
        "/workflows",
        f"/runs/{run_id}",
        f"/runs/{run_id}/steps",
        f"/runs/{run_id}/events",
    ):
        assert server.ask("GET", f"/api/v1{path}").status_code == 200
    again = server.ask("POST", "/api/v1/workflows", document)
    assert again.status_code == 200


HEAD = 'workflowName: hostile\nversion: "1"\nsteps: [{stepId: a, skillId: b}]\n'
TENFOLD = ", ".join(f"&a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 8))
KEYS = ", ".join(f"k{number}: 1" for number in range(10_000))
COPIES = "".join(f" - {{stepId: s{number}, skillId: b, dependsOn: *a}}\n" for number in range(1_000))

REFUSED: dict[str, Any] = {
    "aliases of aliases": f"{HEAD}x: [&a0 [1,1,1,1,1,1,1,1,1,1], {TENFOLD}]\n",
    "aliases instead of an object": f"[&a0 [1,1,1,1,1,1,1,1,1,1], {TENFOLD}]\n",
    "aliases as a key": f"[&a0 [1,1,1,1,1,1,1,1,1,1], {TENFOLD}, {{? *a7 : 1}}]\n",
    "aliases of a long text": f"{HEAD}payloadSchema: {{examples: [&t '{'x' * 100_000}'{', *t' * 300}]}}\n",
    "merges": f"{HEAD}x: &a {{{KEYS}}}\ny: {{<<: [{', '.join(['*a'] * 5_000)}]}}\n",
    "a number without end": f"{HEAD}x: {'1:' * 400_000}1\n",
    "copies of a faulty list": (
        'workflowName: hostile\nversion: "1"\nsteps:\n'
        f" - {{stepId: a, skillId: b, dependsOn: &a [{'[1], ' * 3_000}]}}\n{COPIES}"
    ),
    "patterns that are too large": definition(
        "hostile", {"properties": {f"p{number}": {"pattern": "(?i)" + r"\pL" * 3_000} for number in range(50)}}
    ),
    "patterns of many letters": definition(
        "hostile", {"properties": {f"p{number}": {"pattern": rf"\pL{{1000}}{number}"} for number in range(500)}}
    ),
    "unknown fields": {**definition("hostile"), **{f"k{number}": 1 for number in range(80_000)}},
    "unknown dependencies": definition("hostile")
    | {"steps": [{**STEP, "dependsOn": [f"x{number}" for number in range(90_000)]}]},
    "steps without anything": definition("hostile") | {"steps": [{}] * 250_000},
}


@pytest.mark.parametrize("case", REFUSED)
def test_others_are_answered_while_a_hostile_definition_is_read(server: Server, case: str) -> None:
    answer = server.ask("POST", "/api/v1/workflows", REFUSED[case])
    assert answer.status_code in (400, 503), answer.text[:500]  # 503: the request's own deadline came first
    assert len(answer.content) < 100_000


def test_definitions_take_no_thread_that_other_requests_need(server: Server) -> None:
    """Payloads of this size are parsed in a thread, and so are definitions."""
    assert server.ask("POST", "/api/v1/workflows", definition("beside")).status_code == 201
    reading = [
        threading.Thread(target=server.send, args=("/api/v1/workflows", dense(2_000, 8) | {"version": str(number)}))
        for number in range(8)
    ]
    for thread in reading:
        thread.start()
    took = []
    while any(thread.is_alive() for thread in reading):
        answer = server.ask("POST", "/api/v1/runs", {"workflowName": "beside", "triggerPayload": {"a": "x" * 40_000}})
        assert answer.status_code == 202
        took.append(answer.elapsed.total_seconds())
    assert max(took, default=0) < 5


def test_messages_about_a_payload_do_not_write_out_the_schema(server: Server) -> None:
    schema = {"properties": {f"p{number}": {"const": [1] * 30_000} for number in range(11)}}
    assert server.ask("POST", "/api/v1/workflows", definition("constants", schema)).status_code == 201
    payload = {f"p{number}": 0 for number in range(11)}
    answer = server.ask("POST", "/api/v1/runs", {"workflowName": "constants", "triggerPayload": payload})
    assert answer.status_code == 400
    assert len(answer.content) < 10_000
