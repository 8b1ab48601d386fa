"""Payloads and their schemas."""

import socket
from typing import Any

import pytest
from referencing.exceptions import Unresolvable

from orchestrator.domain.budget import Budget
from orchestrator.domain.errors import InvalidPayload
from orchestrator.domain.workflow import Workflow
from orchestrator.workflows import check_payload, load_document
from orchestrator.workflows.payload import MAX_LISTED
from orchestrator.workflows.schema_validator import first_errors, make_validator
from tests.unit.workflows.documents import document, faults_of

BRIEF = {
    "type": "object",
    "required": ["brief"],
    "properties": {"brief": {"$ref": "#/$defs/brief"}},
    "additionalProperties": False,
    "$defs": {
        "brief": {
            "type": "object",
            "properties": {"levels": {"type": "array", "items": {"type": "integer"}}, "style": {"type": "string"}},
        }
    },
}


def workflow(schema: dict[str, Any] | None) -> Workflow:
    return load_document(document(payloadSchema=schema))


def problems(schema: dict[str, Any] | None, payload: Any) -> list[tuple[str, str]]:
    with pytest.raises(InvalidPayload) as caught:
        check_payload(workflow(schema), payload)
    assert caught.value.code == "VALIDATION_ERROR"
    listed = [(fault["path"], fault["message"]) for fault in caught.value.details["faults"]]
    assert all(path in str(caught.value) for path, _ in listed)
    return listed


class TestPayloads:
    @pytest.mark.parametrize("payload", [{"brief": {"levels": [1, 2], "style": "noir"}}, {"brief": {}}])
    def test_one_that_matches_is_accepted(self, payload: Any) -> None:
        check_payload(workflow(BRIEF), payload)

    def test_without_a_schema_any_object_is_accepted(self) -> None:
        check_payload(workflow(None), {"what": ["ever", 1]})

    def test_all_problems_are_listed_with_their_paths(self) -> None:
        assert problems(BRIEF, {"brief": {"levels": [1, "x", 2.5], "style": 3}, "extra": 1}) == [
            ("triggerPayload.brief.levels[1]", "'x' is not of type 'integer'"),
            ("triggerPayload.brief.levels[2]", "2.5 is not of type 'integer'"),
            ("triggerPayload.brief.style", "3 is not of type 'string'"),
            ("triggerPayload", "Additional properties are not allowed ('extra' was unexpected)"),
        ]

    @pytest.mark.parametrize("payload", [None, [], "text", 1, ()])
    def test_it_must_be_an_object(self, payload: Any) -> None:
        assert problems(None, payload) == [("triggerPayload", f"must be an object, not {type(payload).__name__}")]

    @pytest.mark.parametrize(
        ("payload", "path", "why"),
        [
            ({"a": [float("nan")]}, "triggerPayload.a[0]", "nan is not a JSON number"),
            ({"a": {"b": 2**60}}, "triggerPayload.a.b", "1152921504606846976 is beyond 2**53 - 1"),
            ({"a": {1: 2}}, "triggerPayload.a", "key 1 is not a string"),
            ({"a": b""}, "triggerPayload.a", "bytes is not a JSON type"),
            ({"a": "x\x00"}, "triggerPayload.a", "NUL"),
        ],
    )
    def test_it_must_be_canonical_json(self, payload: Any, path: str, why: str) -> None:
        assert problems(None, payload) == [(path, f"has no canonical JSON form: {why}")]

    def test_no_more_than_twenty_problems_are_listed(self) -> None:
        schema = {"additionalProperties": {"type": "integer"}}
        payload = {f"field{index:02}": "x" for index in range(MAX_LISTED + 1)}
        assert len(problems(schema, payload)) == MAX_LISTED
        with pytest.raises(InvalidPayload, match="and more; only the first 20 are listed"):
            check_payload(workflow(schema), payload)
        payload.popitem()
        with pytest.raises(InvalidPayload) as caught:
            check_payload(workflow(schema), payload)
        assert "and more" not in str(caught.value)

    def test_a_message_does_not_quote_all_of_a_large_value(self) -> None:
        ((_, message),) = problems({"properties": {"a": {"type": "integer"}}}, {"a": "x" * 10_000})
        assert len(message) < 400

    def test_workflows_are_told_apart_by_their_content(self) -> None:
        strict, loose = workflow({"required": ["a"]}), workflow({"required": ["b"]})
        check_payload(loose, {"b": 1})
        check_payload(strict, {"a": 1})
        with pytest.raises(InvalidPayload):
            check_payload(strict, {"b": 1})

    def test_a_schema_that_turns_out_to_be_endless_is_the_payloads_problem(self) -> None:
        schema = {"if": {"required": ["loop"]}, "then": {"$ref": "#"}}
        check_payload(workflow(schema), {})
        assert problems(schema, {"loop": 1}) == [("payloadSchema", "cannot be applied to this payload: RecursionError")]


class TestSchemas:
    @pytest.mark.parametrize(
        "schema",
        [
            BRIEF,
            {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object"},
            {"$id": "https://example.com/s", "$ref": "#/$defs/x", "$defs": {"x": {"type": "object"}}},
            {"properties": {"self": {"$ref": "#"}}},
            {"$ref": "#named", "$defs": {"x": {"$anchor": "named"}}},
            {"properties": {"$ref": {"type": "string"}, "default": {"$ref": "#/$defs/x"}}, "$defs": {"x": True}},
            {"const": {"$ref": "https://example.com/data"}},
            {"$defs": {"inner": {"$id": "https://example.com/inner", "$ref": "#/$defs/y", "$defs": {"y": True}}}},
        ],
    )
    def test_one_that_is_sound_is_accepted(self, schema: dict[str, Any]) -> None:
        assert faults_of(document(payloadSchema=schema)) == {}

    @pytest.mark.parametrize(
        ("schema", "path", "message"),
        [
            ({"type": "objekt"}, "payloadSchema.type", "invalid JSON Schema: 'objekt' is not valid under any"),
            ({"properties": {"a": 3}}, "payloadSchema.properties.a", "3 is not of type 'object', 'boolean'"),
            ({"minLength": -1}, "payloadSchema.minLength", "-1 is less than the minimum of 0"),
            ({"pattern": "("}, "payloadSchema.pattern", "unsupported pattern '(': missing )"),
            ({"$ref": "#/$defs/x"}, "payloadSchema.$ref", "unresolvable reference '#/$defs/x'"),
            ({"allOf": [{"$ref": "#gone"}]}, "payloadSchema.allOf[0].$ref", "unresolvable reference '#gone'"),
            ({"$ref": "https://127.0.0.1/x"}, "payloadSchema.$ref", "must be a reference inside the schema"),
            ({"$ref": "other.json"}, "payloadSchema.$ref", "must be a reference inside the schema"),
            ({"$ref": "file:///etc/passwd"}, "payloadSchema.$ref", "must be a reference inside the schema"),
            (
                {"properties": {"default": {"items": {"$dynamicRef": "x#y"}}}},
                "payloadSchema.properties.default.items.$dynamicRef",
                "must be a reference inside the schema",
            ),
            ({"$ref": "#"}, "payloadSchema", "contains an endless chain of references"),
            ({"$schema": "http://json-schema.org/draft-07/schema#"}, "payloadSchema.$schema", "must be https://json"),
        ],
    )
    def test_a_fault_of_one_is_a_fault_of_the_workflow(self, schema: Any, path: str, message: str) -> None:
        found = faults_of(document(payloadSchema=schema))
        assert list(found) == [path]
        assert message in found[path]

    def test_nothing_is_ever_fetched(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.setblocking(False)
            port = server.getsockname()[1]
            with pytest.raises(Unresolvable):
                first_errors(make_validator({"$ref": f"http://127.0.0.1:{port}/schema"}), {}, 1, Budget())
            with pytest.raises(BlockingIOError):  # nobody knocked
                server.accept()

    @pytest.mark.parametrize("value", [float("nan"), 2**60, "\ud800", 10**400])
    def test_values_that_are_no_json_are_named_where_values_must_differ(self, value: Any) -> None:
        found = faults_of(document(payloadSchema={"type": [value, value], "required": [value]}))
        assert "payloadSchema.required[0]" in found

    def test_every_fault_is_listed(self) -> None:
        found = faults_of(document(payloadSchema={"type": 1, "required": "a", "$ref": "x"}))
        assert list(found) == ["payloadSchema.$ref", "payloadSchema.required", "payloadSchema.type"]
