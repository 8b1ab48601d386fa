"""Work is bounded: expressions that multiply what they pick, and values that stand for more than they hold."""

from typing import Any

import pytest

from orchestrator.domain.budget import MAX_UNITS, Budget, BudgetExceeded
from orchestrator.domain.errors import InputNotCanonical, ValueTooLarge
from orchestrator.domain.expressions import MAX_CHARACTERS, SelectorError, parse
from orchestrator.domain.fingerprint import canonical, check_storable, fingerprint
from orchestrator.domain.selectors import MAX_FIELDS, reads, resolve_input, select

TIMES = 40
WORD = {"trigger": {"a": "word", "list": ["word"], "object": {"k": ["word"]}}}


def again(start: str, part: str, times: int = TIMES) -> str:
    """`start` with the same part appended over and over."""
    return start + part * times


def shared(levels: int, make: Any) -> Any:
    """A value of few objects that stands for 2 ** levels of them."""
    value: Any = "word"
    for _ in range(levels):
        value = make(value)
    return value


MULTIPLYING = {
    "multi-select hash": again("trigger.a", " | {x: @, y: @}"),
    "multi-select list": again("trigger.a", " | [@, @]"),
}


@pytest.mark.slow
@pytest.mark.parametrize("expression", MULTIPLYING.values(), ids=MULTIPLYING)
def test_a_value_that_expands_without_end_is_picked_but_not_hashed(expression: str) -> None:
    value = resolve_input({"x": expression}, WORD)
    for use in (fingerprint, check_storable):
        with pytest.raises(ValueTooLarge, match=r"expands to more than 1,000,000 values"):
            use(value)


WORKING = {
    "flattened lists": again("trigger.list", " | [@, @][]"),
    "projections of flattened lists": again("trigger.list", " | [].[@, @][]", 25),
    "projections": again("trigger.list", " | [@, @]") + " | " + "[*]" * TIMES,
    "joined text": again("trigger.a", " | join('', [@, @])"),
    "long separators": again("trigger.a", " | join(@, ['', '', ''])"),
    "map": again("trigger.list", " | [@, @][] | map(&@, @)"),
    "text of lists": again("trigger.a", " | [@, @]") + " | to_string(@)",
    "text of objects": again("trigger.a", " | {x: @, y: @}") + " | to_string(@)",
    "a comparison": again("trigger.a", " | {x: @, y: @}", 1)
    + " | {l: " + again("x", " | [@, @]") + ", r: " + again("y", " | [@, @]") + "} | l == r",
    "a search": again("trigger.a", " | [@, @]") + " | contains(@, [@])",
    "values of an object": again("trigger.object", " | {a: @, b: @}") + again(" | [*.*]", " | [@, @][]"),
    "slices": again("trigger.list", " | [@, @][] | [:]"),
    "a filter": again("trigger.list", " | [@, @][] | [?@ == 'word']"),
    "sorted text": again("trigger.list", " | [@, @][] | sort(@)"),
    "sorted by": again("trigger.list", " | [@, @][] | sort_by(@, &@)"),
    "reversed": again("trigger.list", " | [@, @][] | reverse(@)"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("expression", WORKING.values(), ids=WORKING)
def test_an_evaluation_without_end_is_given_up(expression: str) -> None:
    with pytest.raises(BudgetExceeded, match=r"input\.x"):
        resolve_input({"x": expression}, WORD)


@pytest.mark.slow
def test_all_selectors_of_an_input_share_one_budget() -> None:
    context = {"trigger": {"list": ["word"] * (MAX_UNITS // 8)}}
    assert len(select("trigger.list[*]", context)) == MAX_UNITS // 8
    with pytest.raises(BudgetExceeded, match=r"input\.f[4-9]"):
        resolve_input({f"f{number}": "trigger.list[*]" for number in range(10)}, context)


def test_the_same_large_value_in_many_fields_counts_as_often_as_it_stands_there() -> None:
    value = resolve_input({f"f{number}": "trigger" for number in range(1000)}, {"trigger": {"a": ["x"] * 2000}})
    with pytest.raises(ValueTooLarge):
        fingerprint(value)
    text = resolve_input({f"f{number}": "trigger" for number in range(1000)}, {"trigger": "x" * 50_000})
    with pytest.raises(ValueTooLarge, match="as much text"):
        fingerprint(text)


@pytest.mark.slow
@pytest.mark.parametrize("make", [lambda v: [v, v], lambda v: (v, 0.5, v), lambda v: {"é": v, "b": v}])
def test_a_result_whose_parts_are_shared_counts_as_what_it_expands_to(make: Any) -> None:
    assert canonical(shared(6, make))
    with pytest.raises(ValueTooLarge):
        canonical(shared(TIMES, make))
    with pytest.raises(BudgetExceeded):
        canonical(shared(12, make), Budget(4000))


@pytest.mark.slow
@pytest.mark.parametrize("leaf", [float("nan"), b"bytes", "\ud800", 2**53, {1}])
def test_what_is_wrong_is_looked_for_within_bounds(leaf: Any) -> None:
    value = [leaf]
    for _ in range(TIMES):
        value = [value, value]
    with pytest.raises(InputNotCanonical):
        canonical(value)


def test_an_object_with_one_long_key_in_many_places_is_too_large() -> None:
    with pytest.raises(ValueTooLarge):
        canonical([{"k" * 1_000_000: 1}] * 1000)


@pytest.mark.parametrize("function", ["abs(@)", "sum(@)", "keys(@)", "sort_by([@], &@)", "max_by([@], &@)"])
def test_a_type_error_does_not_write_the_value_out(function: str) -> None:
    with pytest.raises(SelectorError) as caught:
        select(again("trigger.a", " | [@, @]") + f" | {function}", WORD)
    assert len(str(caught.value)) < 500
    assert "takes a value of type" in str(caught.value)


def test_a_selector_that_is_too_long_does_not_parse() -> None:
    for expression in ("a" + ".a" * MAX_CHARACTERS, "`[" + "1," * MAX_CHARACTERS + "1]`", "'" + "\\'" * MAX_CHARACTERS):
        with pytest.raises(SelectorError, match="more than 65,536"):
            parse(expression)


@pytest.mark.parametrize("quote", ["'", '"', "`"])
def test_quotes_that_nothing_closes_are_looked_through_once(quote: str) -> None:
    """Begun anew at each of them, the search would take minutes."""
    with pytest.raises(SelectorError, match=r"Unclosed|is not JSON"):
        parse(quote + f"\\{quote}" * (MAX_CHARACTERS // 2 - 1))


@pytest.mark.slow
def test_what_a_long_path_reads_is_everything_below_its_first_fields() -> None:
    for expression in ("a" + ".a" * 30_000, "[a" + ".a" * 30_000 + "]"):
        assert reads(expression) == {("a",) * MAX_FIELDS}


def test_ordinary_work_is_far_below_the_budget() -> None:
    items = [{"id": number, "name": f"item {number}", "tags": ["a", "b"]} for number in range(10_000)]
    context = {"steps": {"list": {"data": {"items": items}}}}
    picked = resolve_input(
        {
            "names": "steps.list.data.items[?id > `100`].name | sort(@) | join(', ', @)",
            "last": "max_by(steps.list.data.items, &id)",
            "tags": "steps.list.data.items[].tags[]",
        },
        context,
    )
    assert len(picked["tags"]) == 20_000
    assert picked["last"]["id"] == 9999
    assert fingerprint(picked)
