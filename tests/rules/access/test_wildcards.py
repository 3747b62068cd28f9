"""Wildcards: `*`, `?` and nothing else, over the whole text, in linear time."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirror.rules.access.wildcards import compile_parts, compile_pattern

MATCH_S_MAX = 0.001  # RELIABILITY G20


def model(pattern: str, text: str) -> bool:
    """The meaning, said as a table: which first characters of the text each start of the pattern matches."""
    reached = {0}
    for char in pattern:
        if char == "*":
            reached = set(range(min(reached), len(text) + 1)) if reached else set()
        else:
            reached = {at + 1 for at in reached if at < len(text) and char in ("?", text[at])}
    return len(text) in reached


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("", "", True),
        ("", "a", False),
        ("*", "", True),
        ("*", "a/b:c\n", True),
        ("?", "", False),
        ("?", "é", True),
        ("ecr:Batch*", "ecr:BatchGetImage", True),
        ("ecr:Batch*", "ecr:PutImage", False),
        ("a*a", "a", False),
        ("a*b*c", "abbc", True),
        ("a*b*c", "acb", False),
        ("*.*", "a.b", True),
        ("*aab", "aaab", True),
        ("a.c", "abc", False),
        ("[ab]", "a", False),
        ("[ab]", "[ab]", True),
        ("a?c*", "abc", True),
        ("a?c", "abcd", False),
        ("abc", "abc\n", False),
        ("repository/prod-*", "repository/prod-web", True),
    ],
)
def test_a_pattern_covers_the_whole_text(pattern: str, text: str, matches: bool) -> None:
    """IAM guide, "Using wildcards"; RELIABILITY A36."""
    assert compile_pattern(pattern).matches(text) is matches
    assert model(pattern, text) is matches


@settings(max_examples=1000)
@given(st.text("ab*?", max_size=10), st.text("ab", max_size=12))
def test_a_pattern_means_what_the_model_says(pattern: str, text: str) -> None:
    """RELIABILITY G20."""
    assert compile_pattern(pattern).matches(text) is model(pattern, text)


@given(st.text("aB*?", max_size=8), st.text("Ab", max_size=8))
def test_a_folded_pattern_has_no_case(pattern: str, text: str) -> None:
    """ECR.md 2.1: actions are case-insensitive."""
    assert compile_pattern(pattern, fold=True).matches(text) is model(pattern.lower(), text.lower())


@given(st.text("ab*?", max_size=6), st.text("ab*?", max_size=6))
def test_a_literal_part_has_no_wildcards(literal: str, text: str) -> None:
    """What a policy variable stands for is never a wildcard."""
    assert compile_parts((("<", True), (literal, False), (">", True))).matches(f"<{text}>") is (literal == text)


@pytest.mark.parametrize(
    "pattern",
    [
        "a*" * 149 + "b*a",
        "*" + "aaab" * 70 + "*a",
        "*a" * 2047 + "*",
        "?*" * 250 + "b*",
        "*" + "a?" * 100 + "b*",
        "*a?" * 99 + "b*",
        "a" * 4095 + "?",
        "*" * 4095 + "?",
        "?" * 4096,
    ],
)
@pytest.mark.parametrize("text", ["a" * 300, "ab" * 150, "a" * 299 + "b"])
def test_no_pattern_is_slow(pattern: str, text: str) -> None:
    """RELIABILITY G20: at most 1 ms for a pattern of 4 KiB and a text of 300 characters."""
    compiled = compile_pattern(pattern)
    times = []
    for _ in range(5):
        started = time.perf_counter()
        compiled.matches(text)
        times.append(time.perf_counter() - started)
    assert min(times) < MATCH_S_MAX
    assert compiled.matches(text) is model(pattern, text)
