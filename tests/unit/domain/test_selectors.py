"""Selectors: what they pick, what they read, and the law that partial rebuild rests on."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.domain.change import changed_paths
from orchestrator.domain.fingerprint import canonical
from orchestrator.domain.selectors import SelectorError, is_touched, reads, resolve_input, select

CONTEXT: dict[str, Any] = {
    "trigger": {"brief": {"style": "noir", "levels": [3, 1, 2]}, "items": [{"id": 1}, {"id": 2}]},
    "change": None,
    "steps": {
        "plan": {"data": {"mood": "dark"}, "artifacts": [{"uri": "a", "type": "png"}, {"uri": "b", "type": "wav"}]},
        "a-b": {"data": 1, "artifacts": []},
    },
    "run": {"id": "r1"},
}


class TestSelect:
    @pytest.mark.parametrize(
        ("expression", "picked"),
        [
            ("trigger.brief.style", "noir"),
            ("trigger.nothing.at.all", None),
            ('steps."a-b".data', 1),
            ("`true`", True),
            ("'text'", "text"),
            ("steps.plan.artifacts[?type=='wav'].uri | [0]", "b"),
            ("{s: trigger.brief.style, m: steps.plan.data.mood}", {"s": "noir", "m": "dark"}),
            ("merge(trigger.brief, {style: 'gay'})", {"style": "gay", "levels": [3, 1, 2]}),
            ("sort(trigger.brief.levels)", [1, 2, 3]),
            ("change || trigger.items[*].id", [1, 2]),
        ],
    )
    def test_it_picks(self, expression: str, picked: Any) -> None:
        assert select(expression, CONTEXT) == picked

    @pytest.mark.parametrize(
        "expression",
        [
            "sum(trigger.brief.style)",
            "max_by(trigger.items, &not_null(@.name, @.id) | [@, 'x'])",
            "floor(to_number('inf'))",
            "sum(`[1e308, 1e308]`) | to_string(@)",
        ],
    )
    def test_what_fails_on_the_data_is_a_selector_error_that_shows_the_expression(self, expression: str) -> None:
        with pytest.raises(SelectorError) as caught:
            select(expression, CONTEXT)
        assert repr(expression) in str(caught.value)

    def test_a_document_without_end_is_a_selector_error(self) -> None:
        bottomless: Any = "x"
        for _ in range(50_000):
            bottomless = [bottomless]
        with pytest.raises(SelectorError, match="nested too deeply"):
            select("to_string(a)", {"a": bottomless})

    def test_an_input_is_resolved_field_by_field(self) -> None:
        assert resolve_input({"a": "trigger.brief.style", "b": "`[1]`"}, CONTEXT) == {"a": "noir", "b": [1]}
        assert resolve_input("trigger.brief", CONTEXT) == CONTEXT["trigger"]["brief"]
        assert resolve_input(None, CONTEXT) == {}
        assert resolve_input({}, CONTEXT) == {}

    def test_a_field_that_fails_is_named(self) -> None:
        with pytest.raises(SelectorError, match=r"^input\.b: 'abs\(change\)': "):
            resolve_input({"a": "trigger", "b": "abs(change)"}, CONTEXT)


class TestReads:
    @pytest.mark.parametrize(
        ("expression", "paths"),
        [
            ("trigger", {"trigger"}),
            ("trigger.brief.style", {"trigger.brief.style"}),
            ('steps."a-b".data', {"steps.a-b.data"}),
            ("@", {""}),
            ('`{"a": 1}`', set()),
            ("'trigger'", set()),
            ('`{"a": 1}`.a', set()),
            # pipes and parentheses go on from where they are
            ("trigger | brief | style", {"trigger.brief.style"}),
            ("(trigger.brief).style", {"trigger.brief.style"}),
            ("@.trigger.a", {"trigger.a"}),
            # lists count as a whole
            ("trigger.items[0].id", {"trigger.items"}),
            ("trigger.items[-1]", {"trigger.items"}),
            ("trigger.items[1:].id", {"trigger.items"}),
            ("trigger.items[*].id", {"trigger.items"}),
            ("trigger.items[].id", {"trigger.items"}),
            ("trigger.items[?id > `1`].name", {"trigger.items"}),
            ("trigger.brief.*", {"trigger.brief"}),
            ("*.a", {""}),
            ("[0]", {""}),
            # what is made is made of what it reads
            ("{a: trigger.a, b: steps.x.data}", {"trigger.a", "steps.x.data"}),
            ("[trigger.a, trigger.b]", {"trigger.a", "trigger.b"}),
            ("{a: trigger.a, b: trigger.b}.a", {"trigger.a", "trigger.b"}),
            ("trigger.brief.{s: style, m: mood}", {"trigger.brief.style", "trigger.brief.mood"}),
            ("trigger.brief.{s: `1`}", {"trigger.brief"}),
            ("trigger.brief.[@.style, run]", {"trigger.brief.style", "trigger.brief.run"}),
            # the left side decides
            ("trigger.a || trigger.b", {"trigger.a", "trigger.b"}),
            ("(trigger.a || trigger.b).c", {"trigger.a", "trigger.b.c"}),
            ("(trigger.a && trigger.b).c", {"trigger.a", "trigger.b.c"}),
            ("!(trigger.a)", {"trigger.a"}),
            ("!trigger.a", {"trigger"}),
            ("trigger.a == steps.x.data.b", {"trigger.a", "steps.x.data.b"}),
            ("trigger.a < `1`", {"trigger.a"}),
            # functions look at all they are given
            ("length(trigger.items)", {"trigger.items"}),
            ("keys(@)", {""}),
            ("trigger.length(@)", {"trigger"}),
            ("trigger.length(`[]`)", set()),
            ("merge(trigger.a, {b: steps.x.data})", {"trigger.a", "steps.x.data"}),
            ("merge(trigger.a, trigger.b).c", {"trigger.a", "trigger.b"}),
            ("sort_by(trigger.items, &id)[0].name", {"trigger.items"}),
            ("map(&id, trigger.items)", {"trigger.items"}),
            ("not_null(trigger.a, trigger.b)", {"trigger.a", "trigger.b"}),
        ],
    )
    def test_an_expression_reads(self, expression: str, paths: set[str]) -> None:
        assert {".".join(path) for path in reads(expression)} == paths

    def test_an_input_reads_what_its_fields_read(self) -> None:
        assert reads({"a": "trigger.a", "b": "run.id", "c": "`1`"}) == {("trigger", "a"), ("run", "id")}
        assert reads("trigger.a") == {("trigger", "a")}
        assert reads(None) == reads({}) == frozenset()

    @pytest.mark.parametrize(
        ("path", "changed", "touched"),
        [
            (("a", "b"), ("a", "b"), True),
            (("a", "b"), ("a",), True),
            (("a",), ("a", "b"), True),
            ((), ("a",), True),
            (("a",), (), True),
            (("a", "b"), ("a", "c"), False),
            (("a",), ("ab",), False),
        ],
    )
    def test_a_path_is_touched_when_one_is_a_prefix_of_the_other(
        self, path: tuple[str, ...], changed: tuple[str, ...], *, touched: bool
    ) -> None:
        assert is_touched(path, [changed]) is touched
        assert is_touched(path, iter([("z",), changed])) is touched

    def test_nothing_is_touched_when_nothing_changed(self) -> None:
        assert not is_touched((), [])


# The law. Few names and few values, so that expressions meet something.
names = st.sampled_from("abc")
scalars = st.sampled_from([None, True, False, 0, 1, 2, -1, 1.5, "", "a", "b"])
small = scalars | st.lists(scalars, max_size=2) | st.dictionaries(names, scalars, max_size=2)
values = small | st.lists(small, max_size=3) | st.dictionaries(names, small, max_size=3)
documents = st.dictionaries(names, values, min_size=2, max_size=3)

# Every way that JMESPath has of making an expression of others: X and Y are expressions, N is a name, I a number.
LEAVES = ["N", "N", "N.N", "N.N", "N.N.N", "@", "N[I]", "*", "`null`", "`1`", "'a'", '`{"a": {"b": 1}}`']
FORMS = [
    *["(X).N", "X.N", '(X)."N"', "(X)[I]", "(X)[I].N", "(X)[I:I]", "(X)[I:].N", "(X)[::-1]", "(X)[:I:2].N"],
    *["(X)[*]", "(X)[*].N", "(X)[*].N[I]", "(X)[*][*].N", "(X)[]", "(X)[].N", "(X)[][].N", "(X).*", "(X).*.N", "*.N"],
    *["(X)[?Y]", "(X)[?Y].N", "(X)[?N == Y]", "(X)[?N > `1`].N | [0]", "(X)[*].[Y]", "(X).*.{a: Y, b: N}"],
    *["X | Y", "(X) | (Y)", "(X) || (Y)", "((X) || (Y)).N", "(X) && (Y)", "((X) && (Y)).N", "!(X)", "!X"],
    *["((X) || `{}`).[N]", "((X) && N.N).N", "(X) | {a: Y}", "(X) | @", "(X) | @.N", "@.N | X"],
    *["(X) == (Y)", "(X) != (Y)", "(X) < (Y)", "(X) >= `1`"],
    *["{a: X, b: Y}", "{a: X}.a", "[X, Y]", "[X][0]", "(X).{a: Y, c: N}", "(X).{a: `1`}", "(X).[Y]", "(X).['a', N]"],
]
CALLS = [
    *["length(X)", "keys(X)", "values(X)", "type(X)", "to_string(X)", "to_array(X)", "to_number(X)", "sort(X)"],
    *["reverse(X)", "sum(X)", "max(X)", "min(X)", "avg(X)", "abs(X)", "ceil(X)", "floor(X)", "not_null(X)"],
    *["merge(X, Y)", "merge(X, {a: Y}).N", "contains(X, Y)", "not_null(X, Y).N", "join('', X)", "starts_with(X, Y)"],
    *["(X).length(@)", "(X).keys(@)", "(X).not_null(N, Y)", "(X).type(@)"],
    *["sort_by(X, &(Y))", "sort_by(X, &N)[0].N", "max_by(X, &N)", "min_by(X, &N).N", "map(&(Y), X)", "map(&N, X)"],
]


@st.composite
def expressions(draw: st.DrawFn, depth: int = 2) -> str:
    forms = draw(st.sampled_from([FORMS, FORMS, FORMS, CALLS, LEAVES])) if depth else LEAVES
    filled = ""
    for sign in draw(st.sampled_from(forms)):
        match sign:
            case "X" | "Y":
                filled += draw(expressions(depth - 1))
            case "N":
                filled += draw(names)
            case "I":
                filled += str(draw(st.integers(-2, 2)))
            case _:
                filled += sign
    return filled


def outcome(expression: str, document: Any) -> bytes | str:
    try:
        return canonical(select(expression, document))
    except SelectorError:
        return "failed"


REPLACEMENTS: list[Any] = [None, True, 2, "b", [], [{"a": 1, "b": "a"}, 2], {}, {"c": 1}, {"a": {"b": 2}, "b": []}]


def edits(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The document with each of its fields, and each that it lacks, removed or replaced by one thing or another."""
    for name in "abc":
        kept = {key: value for key, value in document.items() if key != name}
        yield kept
        yield from ({**kept, name: value} for value in REPLACEMENTS)
        if isinstance(document.get(name), dict):
            yield from ({**kept, name: value} for value in edits(document[name]))


Edit = tuple[dict[str, Any], frozenset[tuple[str, ...]]]
"""An edited document, and the paths that differ."""


def made_edits(document: dict[str, Any]) -> list[Edit]:
    return [(edited, frozenset(changed_paths(document, edited))) for edited in edits(document)]


def assert_only_what_is_read_shows(expression: str, document: dict[str, Any], made: list[Edit]) -> None:
    before = outcome(expression, document)
    paths = reads(expression)
    for edited, changed in made:
        if not any(is_touched(path, changed) for path in paths):
            assert outcome(expression, edited) == before, (expression, paths, edited)


RICH: list[dict[str, Any]] = [
    {
        "a": {"a": {"b": 1, "c": {}}, "b": [{"a": 1}, {"a": 2, "b": "x"}], "c": None},
        "b": {"a": "b", "c": [1, 2]},
        "c": 3,
    },
    {"a": {}, "b": [{"a": {"b": 2}, "c": 1}, {"a": None}], "c": {"a": [[1], [2, 3]], "b": {"c": True}}},
    {"a": None, "b": {"a": {}, "b": {"a": 1, "b": 2}}, "c": ["b", "a"]},
]


@settings(max_examples=2 * settings().max_examples)
@given(expressions(), documents | st.sampled_from(RICH))
def test_a_change_of_what_is_not_read_changes_nothing(expression: str, document: dict[str, Any]) -> None:
    assert_only_what_is_read_shows(expression, document, made_edits(document))


@pytest.fixture(scope="module")
def edits_of_rich() -> list[list[Edit]]:
    """The edits of each rich document, made once: every form is tried on the same."""
    return [made_edits(document) for document in RICH]


@pytest.mark.parametrize("form", [*FORMS, *CALLS])
def test_the_law_holds_for_every_form_there_is(form: str, edits_of_rich: list[list[Edit]]) -> None:
    """Each form once with whole fields, once with fields of fields, tried on every edit of every rich document."""
    for x, y, name in [("a", "b", "c"), ("a.b", "b.a", "a"), ("b", "a", "b"), ("c.a", "`1`", "a"), ("@", "a.c", "b")]:
        expression = form.replace("N", name).replace("I", "0").replace("X", x).replace("Y", y)
        for document, made in zip(RICH, edits_of_rich, strict=True):
            assert_only_what_is_read_shows(expression, document, made)


@pytest.mark.parametrize(
    ("expression", "before", "after"),
    [
        # each of these broke an earlier version of the analysis
        ("(a || b).c", {"a": {}, "b": {"c": 1}}, {"a": {"d": 1}, "b": {"c": 1}}),
        ("a.{x: `1`}", {"a": None}, {"a": {}}),
        ("a.{x: b}", {"a": None}, {"a": {"z": 1}}),
        ("a.[`1`].c", {}, {"a": 1}),
        ("a[0].b", {"a": [{"b": 1}]}, {"a": [{"b": 2}]}),
    ],
)
def test_a_change_that_shows_is_a_change_of_what_is_read(expression: str, before: Any, after: Any) -> None:
    touched = any(is_touched(path, frozenset(changed_paths(before, after))) for path in reads(expression))
    assert touched or outcome(expression, before) == outcome(expression, after)


@st.composite
def shuffles(draw: st.DrawFn, value: Any) -> Any:
    if isinstance(value, dict):
        return {key: draw(shuffles(value[key])) for key in draw(st.permutations(list(value)))}
    if isinstance(value, list):
        return [draw(shuffles(item)) for item in value]
    return value


@settings(max_examples=3 * settings().max_examples)
@given(expressions(), documents, st.data())
@example("keys(@)", {"a": 1, "b": 2}, None)
@example("values(a)", {"a": {"x": 1, "b": 2}}, None)
@example("*", {"a": 1, "b": 2}, None)
@example("to_string(a)", {"a": {"x": 1, "b": 2}}, None)
def test_the_order_of_keys_never_shows(expression: str, document: dict[str, Any], data: Any) -> None:
    other = data.draw(shuffles(document)) if data else dict(reversed(document.items()))
    if not data and isinstance(other["a"], dict):
        other["a"] = dict(reversed(other["a"].items()))
    assert outcome(expression, other) == outcome(expression, document)
