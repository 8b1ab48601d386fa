"""Patterns: ECMA-262 in linear time, and a clear refusal of what is not."""

import time

import pytest

from orchestrator.domain.budget import QUICK_UNITS, Budget, BudgetExceeded
from orchestrator.workflows.pattern_costs import estimate
from orchestrator.workflows.patterns import MAX_PATTERN, Pattern, PatternRefused, compile_cost, pattern
from orchestrator.workflows.patterns import matches as matches_within


def matches(pattern: str, text: str) -> bool:
    return Pattern(pattern).matches(text, Budget())


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("^a$", "a", "a\n"),
        ("b", "abc", "ac"),
        (r"^\d+$", "12", "\N{ARABIC-INDIC DIGIT ONE}"),
        (r"^\w$", "_", "é"),
        (r"\u0041\u{1F600}", "A😀", "A"),
        (r"^\ud83d\ude00$", "😀", "x"),
        (r"^\cJ$", "\n", "J"),
        (r"^\p{L}+$", "ñandú", "a1"),
        (r"^\p{Script=Greek}+$", "αβγ", "abc"),
        (r"^[\w.-]+@[\w-]+\.[a-z]{2,}$", "a.b@c-d.org", "a@b"),
        (r"^\/a\-b\.$", "/a-b.", "a-b."),
        ("^(?:a|b)*?c", "abac", "abd"),
        ("^(?<year>[0-9]{4})$", "2026", "26"),
        ("", "", None),
    ],
)
def test_patterns_of_ecma_262_match_as_there(pattern: str, yes: str, no: str | None) -> None:
    assert matches(pattern, yes)
    assert no is None or not matches(pattern, no)


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(?=a)b", "lookahead and lookbehind"),
        ("(?!a)b", "lookahead and lookbehind"),
        ("(?<=a)b", "lookahead and lookbehind"),
        ("(?<!a)b", "lookahead and lookbehind"),
        (r"(a)\1", "backreference"),
        (r"(?<n>a)\k<n>", "backreference"),
        (r"\Aa\z", "is not an ECMA-262 escape"),
        (r"\Qa.b\E", "is not an ECMA-262 escape"),
        (r"\u{110000}", "is not a valid character"),
        (r"\ud83d", "is not a valid character"),
        ("(", "missing )"),
        ("a{1001}", "invalid repetition size"),
        ("((a{100}){100}){100}", "too large"),
        (r"(\p{L}{100}|\p{N}{100})", "too large"),
        ("a" * (MAX_PATTERN + 1), "too long, 10,001 characters"),
    ],
)
def test_what_cannot_be_matched_in_linear_time_is_refused(pattern: str, why: str) -> None:
    with pytest.raises(PatternRefused) as caught:
        Pattern(pattern)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    "pattern", ["^([a-zA-Z0-9]+)+@x$", "^(a|a)*$", "^(a|aa)+$", "(x+x+)+y", "^(a?){25}a{25}$", r"^(\w+\s?)*$"]
)
def test_no_text_makes_a_pattern_go_back(pattern: str) -> None:
    assert not matches(pattern, "a" * 24 + "!")
    assert not matches(pattern, "a" * 5_000 + "!")


def test_a_large_pattern_on_a_long_text_costs_as_much() -> None:
    large = Pattern("[ab]*a[ab]{900}c")
    assert not large.matches("ab" * 1000, Budget())
    with pytest.raises(BudgetExceeded):
        large.matches("ab" * 100_000, Budget())


# Each took the engine between 80 and 900 ms, in which no other thread could run.
SLOW = {
    "a Unicode class many times": r"\pL{1000}",
    "Unicode classes beside each other": r"\pL" * 3_000,
    "without regard to case": "(?i)" + r"\pL" * 3_000,
    "sets of Unicode classes": r"[^\pL\pN]{30}" * 600,
    "one set of many Unicode classes": "[" + r"\pL" * 3_000 + "]",
    "alternatives": "|".join(rf"\pL{{{number}}}" for number in range(1, 900)),
    "many repetitions": "x{1000}" * 1_400,
    "repetitions of groups": "(?:x{30}y{30}){1000}",
    "repetitions in repetitions": "((((x{10}){10}){10}){1,1000})",
    "ranges without regard to case": "(?i)" + r"[\x80-\u{10ffff}]" * 500,
    "scripts by name": r"\p{Script=Han}" * 600,
}


@pytest.mark.parametrize("case", SLOW)
def test_a_pattern_that_would_take_long_to_compile_is_not_compiled(case: str) -> None:
    began = time.process_time()
    with pytest.raises(PatternRefused, match="too large"):
        Pattern(SLOW[case][:MAX_PATTERN])
    assert time.process_time() - began < 0.3


def test_an_estimate_is_about_what_is_compiled() -> None:
    for text in (r"^[\w.-]+@[\w-]+\.[a-z]{2,}$", r"^\p{L}+$", "[ab]*a[ab]{900}c", "(?:ab|cd){3}[[:alpha:]x]"):
        assert estimate(text) / 4 <= int(Pattern(text).size) <= 4 * estimate(text) + 40, text


def test_braces_that_are_no_repetition_count_as_letters() -> None:
    assert estimate("a{x}b{,3}{") < 20
    assert estimate(")))(((") < 20


def test_what_was_refused_is_not_tried_again() -> None:
    text = "(?=refused)"
    for _ in range(2):
        with pytest.raises(PatternRefused, match="lookahead"):
            pattern(text)


def test_many_small_patterns_are_not_compiled_in_one_turn_of_a_loop() -> None:
    budget = Budget(QUICK_UNITS)

    def match_all() -> None:
        for number in range(1_000):
            matches_within(f"^[a-z]+small{number}$", "a", budget)

    with pytest.raises(BudgetExceeded):
        match_all()
    assert budget.left < 20


def test_compiling_needs_a_budget_that_suffices_and_does_not_spend_a_large_one() -> None:
    text = "[ab]{900}[cd]{900}[ef]{900}[gh]{900}[ij]{900}"
    assert compile_cost(text) > QUICK_UNITS
    with pytest.raises(BudgetExceeded):
        matches_within(text, "a", Budget(QUICK_UNITS))
    budget = Budget()
    assert not matches_within(text, "a", budget)
    assert budget.left > 900_000
    assert not matches_within(text, "a", Budget(QUICK_UNITS))  # it is compiled by now


def test_a_pattern_weighs_what_it_may_take_in_memory() -> None:
    assert Pattern("a").weight < 200_000
    assert Pattern("[ab]{900}" * 15).weight > 500_000
