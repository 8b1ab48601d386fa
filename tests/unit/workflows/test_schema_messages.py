"""Messages about payloads quote what is short, and the beginning of what is not."""

import time
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from orchestrator.domain.budget import Budget
from orchestrator.workflows.payload_schema import misfits
from orchestrator.workflows.schema_messages import KEYWORDS
from orchestrator.workflows.schema_validator import first_errors, make_validator

LARGE = [[1] * 5_000] * 100
LONG = "x" * 500_000

CASES: dict[str, tuple[Any, Any]] = {
    "const": ({"const": LARGE}, 0),
    "const, a text": ({"const": LONG}, 0),
    "enum": ({"enum": [LARGE]}, 0),
    "enum of many": ({"enum": list(range(300_000))}, "x"),
    "not": ({"not": {"const": LARGE}}, LARGE),
    "not, a schema": ({"not": {"examples": LARGE}}, 0),
    "oneOf": ({"oneOf": [{"examples": LARGE}, {"default": LARGE}]}, 0),
    "anyOf": ({"anyOf": [{"const": LARGE}, {"enum": [LARGE]}]}, 0),
    "required": ({"required": [LONG]}, {}),
    "dependentRequired": ({"dependentRequired": {"a": [LONG]}}, {"a": 1}),
    "pattern": ({"pattern": "a" * 9_000}, "b"),
    "additionalProperties": (
        {"patternProperties": {f"^a{number}": True for number in range(500)}, "additionalProperties": False},
        {"b": 1},
    ),
    "type of a large value": ({"type": "string"}, LARGE),
    "items that are too many": ({"maxItems": 1}, LARGE),
    "items that are too few": ({"minItems": 10_000}, LARGE),
    "text that is too long": ({"maxLength": 1}, LONG),
    "text that is too short": ({"minLength": 1_000_000}, LONG),
    "properties that are too many": ({"maxProperties": 1}, {str(number): 1 for number in range(50_000)}),
    "no such item": ({"contains": {"const": "x"}}, [0] * 50_000),
    "properties that are not evaluated": (
        {"unevaluatedProperties": False},
        {str(number): 1 for number in range(9_000)},
    ),
    "items that are not evaluated": ({"unevaluatedItems": False}, [LONG] * 5),
    "items that are not unique": ({"uniqueItems": True}, [LONG] * 2),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_message_is_no_longer_than_people_read(case: str) -> None:
    schema, instance = CASES[case]
    validator = make_validator(schema)
    began = time.process_time()
    (error, *_) = first_errors(validator, instance, 1, Budget(100_000_000))
    assert len(error.message) < 500
    assert time.process_time() - began < 3


def test_a_payload_of_few_bytes_is_answered_from_a_small_budget() -> None:
    schema = {"properties": {f"p{number}": {"const": LARGE} for number in range(20)}}
    payload = {f"p{number}": 0 for number in range(20)}
    found = misfits("digest", schema, payload, root="r", most=20, budget=Budget(1_000))
    assert len(found) == 20


# A schema for each keyword, and values some of which fit and some do not.
VALUES: list[Any] = [None, True, 0, 1, 1.0, "", "a", "ab", [], [1], [1, 1, "a"], {}, {"a": 1}, {"a": 1, "b": 2}]
SCHEMAS: dict[str, list[Any]] = {
    "const": [{"const": 1}, {"const": True}, {"const": [1]}, {"const": {"a": 1}}],
    "enum": [{"enum": [1, "a"]}, {"enum": [[1], None]}, {"enum": [False]}],
    "type": [{"type": "integer"}, {"type": ["string", "null"]}, {"type": "object"}],
    "not": [{"not": {"type": "string"}}, {"not": True}],
    "anyOf": [{"anyOf": [{"type": "string"}, {"minItems": 2}]}, {"anyOf": [False]}],
    "oneOf": [{"oneOf": [{"type": "string"}, {"minLength": 1}, True]}, {"oneOf": [{"type": "array"}, False]}],
    "required": [{"required": ["a", "b"]}],
    "dependentRequired": [{"dependentRequired": {"a": ["b", "c"]}}],
    "contains": [
        {"contains": {"const": 1}},
        {"contains": {"const": 1}, "maxContains": 1},
        {"contains": {}, "minContains": 2},
    ],
    "minItems": [{"minItems": 1}, {"minItems": 2}],
    "maxItems": [{"maxItems": 0}, {"maxItems": 1}],
    "minLength": [{"minLength": 1}, {"minLength": 2}],
    "maxLength": [{"maxLength": 0}, {"maxLength": 1}],
    "minProperties": [{"minProperties": 1}, {"minProperties": 2}],
    "maxProperties": [{"maxProperties": 0}, {"maxProperties": 1}],
}


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_a_keyword_finds_and_says_what_the_library_does(keyword: str) -> None:
    for schema in SCHEMAS[keyword]:
        ours, theirs = make_validator(schema), Draft202012Validator(schema)
        for value in VALUES:
            found = [(error.message, error.validator) for error in first_errors(ours, value, 10, Budget())]
            assert found == [(error.message, error.validator) for error in theirs.iter_errors(value)], (schema, value)
