"""Patterns: ECMA-262 in linear time, and a clear refusal of what is not."""

import pytest

from orchestrator.domain.budget import Budget, BudgetExceeded
from orchestrator.workflows.patterns import MAX_PATTERN, Pattern, PatternRefused


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
        (r"(a)\1", "back reference"),
        (r"(?<n>a)\k<n>", "back reference"),
        (r"\Aa\z", "no escape of ECMA-262"),
        (r"\Qa.b\E", "no escape of ECMA-262"),
        (r"\u{110000}", "is no character"),
        (r"\ud83d", "is no character"),
        ("(", "missing )"),
        ("a{1001}", "invalid repetition size"),
        ("((a{100}){100}){100}", "invalid repetition size"),
        (r"(\p{L}{100}|\p{N}{100})", "too large"),
        ("a" * (MAX_PATTERN + 1), "characters, more than"),
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
