"""The client's documents are those of the API: the same fields, and the same of them may be missing or null."""

from types import NoneType, UnionType
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

import pytest
from pydantic import BaseModel

from orchestrator.api import deletions, health, me, shapes
from orchestrator.client import documents

ONLY_HERE = {"Registration", "StepProgress"}
"""What the client adds to an answer, and a message of a stream, which OpenAPI does not describe."""
DOCUMENTS = {name: kind for name, kind in vars(documents).items() if is_typeddict(kind) and name not in ONLY_HERE}


SHAPES = {
    name.removesuffix("View"): kind
    for name, kind in {**vars(shapes), **vars(health), "Me": me.Me, "DeletedRun": deletions.DeletedRun}.items()
    if isinstance(kind, type) and issubclass(kind, BaseModel) and kind not in (BaseModel, shapes.Shape)
}


def split(hint: Any) -> tuple[frozenset[str], bool]:
    """Return the kinds of value that a hint allows, in words that both sides share, and whether it may be missing."""
    if get_origin(hint) is NotRequired:
        return split(get_args(hint)[0])[0], True
    if get_origin(hint) in (Union, UnionType):
        return frozenset[str]().union(*(split(each)[0] for each in get_args(hint))), False
    if get_origin(hint) is Literal:
        return frozenset(map(repr, get_args(hint))), False
    if hint is NoneType:
        return frozenset({"null"}), False
    name = getattr(hint, "__name__", str(hint)).removesuffix("View")
    if get_origin(hint) is list:
        name = f"list of {sorted(split(get_args(hint)[0])[0])}"
    return frozenset({"str" if name in ("AwareDatetime", "datetime") else name}), False


def served(shape: type[BaseModel]) -> dict[str, tuple[frozenset[str], bool]]:
    return {
        str(field.alias): (split(field.annotation)[0], not field.is_required()) for field in shape.model_fields.values()
    }


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_has_the_shape_the_api_gives_it(name: str) -> None:
    hints = get_type_hints(DOCUMENTS[name], include_extras=True)
    assert {field: split(hint) for field, hint in hints.items()} == served(SHAPES[name])


def test_no_document_is_missing() -> None:
    within = {
        "RunArtifacts",
        "WorkflowList",
        "CacheAnalysis",
        "ProjectionList",
    }  # the client takes the list out
    assert set(SHAPES) - within - {"Error"} == set(DOCUMENTS)
