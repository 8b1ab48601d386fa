"""Every number that comes from outside has a lower and an upper bound."""

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter

from orchestrator.api import models
from orchestrator.api.app import ROUTERS
from orchestrator.settings import Settings
from orchestrator.workflows.shape import WorkflowShape


def numbers(schema: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the path and the JSON Schema of every number in a JSON Schema."""
    definitions = schema.get("$defs", {})

    def walk(part: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
        if not isinstance(part, dict):
            return
        if part.get("type") in ("integer", "number"):
            yield path, part
        for name, field in part.get("properties", {}).items():
            yield from walk(field, f"{path}.{name}")
        for keyword in ("items", "additionalProperties"):
            yield from walk(part.get(keyword), f"{path}[]")
        for keyword in ("anyOf", "allOf", "prefixItems"):
            for choice in part.get(keyword, ()):
                yield from walk(choice, path)

    yield from walk(schema, schema.get("title", ""))
    for name, part in definitions.items():
        yield from walk(part, name)


def unbounded(schema: Any) -> list[str]:
    return [
        path
        for path, number in numbers(schema)
        if not {"minimum", "exclusiveMinimum"} & number.keys() or not {"maximum", "exclusiveMaximum"} & number.keys()
    ]


def bodies() -> list[type[BaseModel]]:
    found = [value for value in vars(models).values() if isinstance(value, type) and issubclass(value, BaseModel)]
    return [value for value in found if value.__module__ == models.__name__]


def test_settings() -> None:
    assert unbounded(Settings.model_json_schema()) == []


def test_definitions() -> None:
    assert unbounded(WorkflowShape.model_json_schema()) == ["RetryPolicyShape.maxAttempts"]  # a setting bounds it


def test_bodies_of_requests() -> None:
    assert len(bodies()) > 4
    assert [path for body in bodies() for path in unbounded(body.model_json_schema())] == []


def parameters() -> Iterator[tuple[str, Any]]:
    for router in ROUTERS:
        for route in router.routes:
            if isinstance(route, APIRoute):
                for name, parameter in route.endpoint.__annotations__.items():
                    yield f"{route.name}.{name}", parameter


def test_parameters_of_requests() -> None:
    found = 0
    for name, annotation in parameters():
        if not get_args(annotation) or get_args(annotation)[0] not in (int, float, int | None):
            continue
        found += 1
        assert unbounded(TypeAdapter(annotation).json_schema()) == [], name
    assert found > 3


@pytest.mark.parametrize("bounds", [{"minimum": 0}, {"maximum": 0}, {}])
def test_a_number_with_half_a_bound_is_found(bounds: dict[str, int]) -> None:
    schema = {"title": "T", "properties": {"a": {"anyOf": [{"type": "integer", **bounds}, {"type": "null"}]}}}
    assert unbounded(schema) == ["T.a"]
