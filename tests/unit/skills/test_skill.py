"""Skills made of functions: every form of input and output, checked both ways."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from typing_extensions import TypedDict

from orchestrator.domain.fingerprint import canonical
from orchestrator.skills import FunctionSkill, SkillError, StepContext, skill
from orchestrator.skills.shape import plain
from orchestrator.skills.skill import skill_of


class Mood(StrEnum):
    CALM = "calm"


class ModelInput(BaseModel):
    style: str
    bpm: int = Field(90, gt=0)


class CamelOutput(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    track_length: float
    made_on: date = date(2024, 1, 2)


@dataclass
class Brief:
    style: str
    moods: list[Mood]


class BriefDict(TypedDict):
    style: str


def made(function: Callable[..., Any]) -> FunctionSkill:
    found = skill_of(skill("test.skill")(function))
    assert found is not None
    return found


def refused(call: Callable[[], object]) -> SkillError:
    with pytest.raises(SkillError) as caught:
        call()
    return caught.value


class TestDecorator:
    def test_function_stays_what_it_was(self) -> None:
        @skill("math.double", version="2")
        def double(number: int) -> int:
            return number * 2

        assert double(4) == 8
        found = skill_of(double)
        assert found is not None
        assert (found.id, found.version, found.kind, found.blocking) == ("math.double", "2", "python", True)

    def test_version_is_one_unless_given_and_async_does_not_block(self) -> None:
        async def nothing() -> None: ...

        assert (made(nothing).version, made(nothing).blocking) == ("1", False)

    def test_parameters_are_passed_as_declared(self) -> None:
        ctx = StepContext("run", "step")

        def both(value: Any, ctx: Any) -> Any:
            return value, ctx

        def one(value: Any) -> Any:
            return value

        def none() -> Any:
            return "none"

        assert made(both).call(1, ctx) == (1, ctx)
        assert made(one).call(1, ctx) == 1
        assert made(none).call(1, ctx) == "none"

    def test_other_parameters_are_refused(self) -> None:
        def three(a: Any, b: Any, c: Any) -> None: ...
        def keyword(a: Any, *, b: Any) -> None: ...
        def rest(*a: Any) -> None: ...
        def only_context(ctx: StepContext) -> None: ...
        def generator(a: Any) -> Any:
            yield a

        for function in (three, keyword, rest, only_context, generator):
            with pytest.raises(TypeError, match=function.__name__):
                skill("test.skill")(function)

    @pytest.mark.parametrize("value", [len, dict, math.sqrt, "text"])
    def test_only_functions_can_be_skills(self, value: Any) -> None:
        with pytest.raises(TypeError, match="not a function"):
            skill("test.skill")(value)

    @pytest.mark.parametrize("name", ["", "a b", "a@1", ".a", "x" * 256, "a/b"])
    def test_bad_id_and_version_are_refused(self, name: str) -> None:
        with pytest.raises(ValueError, match="skill id"):
            skill(name)(lambda: None)
        with pytest.raises(ValueError, match="skill version"):
            skill("fine", version=name)(lambda: None)

    def test_type_that_cannot_be_validated_is_refused(self) -> None:
        class Opaque: ...

        def opaque(value: Opaque) -> None: ...

        with pytest.raises(TypeError, match="Opaque"):
            skill("test.skill")(opaque)

    def test_name_defined_later_is_resolved_at_first_use(self) -> None:
        source = "def late(value: 'Later') -> 'list[Later]': return [value]"
        scope: dict[str, Any] = {"__name__": __name__}
        exec(source, scope)
        found = made(scope["late"])
        scope["Later"] = int
        assert found.prepare("7") == 7
        assert "$[0]" in refused(lambda: found.finish(["x"])).message

    def test_context_may_be_a_name_for_type_checkers_only(self) -> None:
        scope: dict[str, Any] = {"__name__": __name__}
        exec("def typed(value: 'int', ctx: 'Unknown') -> 'int': return value", scope)
        assert made(scope["typed"]).prepare(7) == 7


class TestInput:
    def test_model(self) -> None:
        def taken(value: ModelInput) -> None: ...

        assert made(taken).prepare({"style": "folk"}) == ModelInput(style="folk", bpm=90)

    def test_dataclass(self) -> None:
        def taken(value: Brief) -> None: ...

        assert made(taken).prepare({"style": "folk", "moods": ["calm"]}) == Brief("folk", [Mood.CALM])

    def test_typed_dict(self) -> None:
        def taken(value: BriefDict) -> None: ...

        assert made(taken).prepare({"style": "folk"}) == {"style": "folk"}
        assert "$.style" in refused(lambda: made(taken).prepare({})).message

    @pytest.mark.parametrize("kind", [dict, dict[str, Any], Mapping[str, Any]])
    def test_plain_object(self, kind: Any) -> None:
        def taken(value: Any) -> None: ...

        taken.__annotations__["value"] = kind
        assert made(taken).prepare({"a": [1]}) == {"a": [1]}
        error = refused(lambda: made(taken).prepare([1]))
        assert error.code == "SKILL_INPUT_INVALID"
        assert "expected an object, got an array" in error.message

    @pytest.mark.parametrize("document", [None, 1, "x", [1, {"a": None}], {"a": 1.5}])
    def test_untyped(self, document: Any) -> None:
        assert made(lambda value: None).prepare(document) == document

    def test_every_field_at_fault_is_named(self) -> None:
        def taken(value: ModelInput) -> None: ...

        error = refused(lambda: made(taken).prepare({"bpm": 0}))
        assert (error.code, error.retryable) == ("SKILL_INPUT_INVALID", False)
        assert [fault["path"] for fault in error.details["faults"]] == ["$.style", "$.bpm"]
        assert "$.style: Field required" in error.message

    def test_place_in_a_list_is_named(self) -> None:
        def taken(value: Brief) -> None: ...

        error = refused(lambda: made(taken).prepare({"style": "x", "moods": ["calm", "wild"]}))
        assert "$.moods[1]" in error.message

    @pytest.mark.parametrize("annotation", [Any, dict[str, Any], dict[str, list[Any]]])
    def test_skill_may_change_what_it_was_given(self, annotation: Any) -> None:
        def taken(value: Any) -> None: ...

        taken.__annotations__["value"] = annotation
        original = {"a": [{"b": 1}]}
        made(taken).prepare(original)["a"][0]["b"] = 2
        assert original == {"a": [{"b": 1}]}

    def test_input_that_is_not_json_is_refused(self) -> None:
        assert refused(lambda: made(lambda value: None).prepare({"a": {1}})).code == "SKILL_INPUT_INVALID"


class TestOutput:
    def test_model_under_its_aliases(self) -> None:
        def gives() -> CamelOutput: ...  # type: ignore[empty-body]

        assert made(gives).finish(CamelOutput(track_length=1.5)) == {
            "trackLength": 1.5,
            "madeOn": "2024-01-02",
        }
        assert made(gives).finish({"trackLength": 2})["trackLength"] == 2

    def test_dataclass(self) -> None:
        def gives() -> Brief: ...  # type: ignore[empty-body]

        assert made(gives).finish(Brief("folk", [Mood.CALM])) == {"style": "folk", "moods": ["calm"]}

    def test_dataclass_filled_wrongly_is_refused(self) -> None:
        def gives() -> Brief: ...  # type: ignore[empty-body]

        error = refused(lambda: made(gives).finish(Brief(7, [])))  # type: ignore[arg-type]
        assert error.code == "SKILL_OUTPUT_INVALID"

    def test_typed_dict_and_object(self) -> None:
        def gives() -> BriefDict: ...  # type: ignore[empty-body]
        def gives_object() -> dict[str, Any]: ...  # type: ignore[empty-body]

        assert made(gives).finish({"style": "folk"}) == {"style": "folk"}
        assert "$.style" in refused(lambda: made(gives).finish({})).message
        assert "got null" in refused(lambda: made(gives_object).finish(None)).message

    def test_wrong_type_is_refused_by_name(self) -> None:
        def gives() -> CamelOutput: ...  # type: ignore[empty-body]

        error = refused(lambda: made(gives).finish({"trackLength": "long"}))
        assert (error.code, error.retryable) == ("SKILL_OUTPUT_INVALID", False)
        assert "$.trackLength" in error.message

    def test_nothing_is_null(self) -> None:
        def gives() -> None: ...

        assert made(gives).finish(None) is None
        assert refused(lambda: made(gives).finish(1)).code == "SKILL_OUTPUT_INVALID"

    @pytest.mark.parametrize(
        ("value", "path"),
        [
            (math.nan, "$"),
            ({"a": [1, math.nan]}, "$.a[1]"),
            ({"a": -math.inf}, "$.a"),
            ({"a": {1, 2}}, "$.a"),
            ({"a": b"bytes"}, "$.a"),
            ({"a": 2**53}, "$.a"),
            ({"a": UUID(int=0)}, "$.a"),
            ({"a": date(2024, 1, 1)}, "$.a"),
            ({"a": "\ud800"}, "$.a"),
            ({1: 2}, "$"),
            ({"a": object()}, "$.a"),
            ({"a": Brief("x", [])}, "$.a"),
        ],
    )
    def test_what_is_not_json_is_refused_by_path(self, value: Any, path: str) -> None:
        error = refused(lambda: made(lambda: None).finish(value))
        assert error.code == "SKILL_OUTPUT_INVALID"
        assert error.details["faults"][0]["path"] == path

    def test_nan_in_a_model_is_refused_too(self) -> None:
        def gives() -> CamelOutput: ...  # type: ignore[empty-body]
        def gives_list() -> list[float]: ...  # type: ignore[empty-body]

        error = refused(lambda: made(gives).finish(CamelOutput(track_length=math.nan)))
        assert error.details["faults"][0]["path"] == "$.trackLength"
        assert refused(lambda: made(gives_list).finish([math.inf])).code == "SKILL_OUTPUT_INVALID"

    def test_close_relatives_of_json_become_json(self) -> None:
        finished = made(lambda: None).finish({"a": (1, 2), "b": Mood.CALM, "c": True, "d": -0.0})
        assert finished == {"a": [1, 2], "b": "calm", "c": True, "d": 0}
        assert (type(finished["a"]), type(finished["b"])) == (list, str)

    def test_skill_may_keep_what_it_returned(self) -> None:
        kept = {"a": [1]}
        finished = made(lambda: None).finish(kept)
        kept["a"].append(2)
        assert finished == {"a": [1]}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_plain_takes_exactly_what_has_a_canonical_form(value: Any) -> None:
    try:
        expected = canonical(value)
    except Exception as error:  # noqa: BLE001
        with pytest.raises(type(error)):
            plain(value)
    else:
        assert canonical(plain(value)) == expected
        assert json.dumps(plain(value)) == json.dumps(value)
