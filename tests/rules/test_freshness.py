"""Freshness: when a tag may be answered from here, and what may be asked of an upstream that rations."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.rules.freshness import LAST_SHARE, LOW_SHARE, Need, State, age_state, may_ask, served_until, tag_state
from mirror.rules.globs import matches
from mirror.rules.routing import UpstreamRule

RULE = UpstreamRule("a.io", "https://a.io", tag_fresh_s=100, stale_max_s=1_000, immutable_tags=("v*",))
NEVER_STALE = UpstreamRule("a.io", "https://a.io", tag_fresh_s=100, stale_max_s=0)
ALWAYS_CHECKED = UpstreamRule("a.io", "https://a.io", tag_fresh_s=0, stale_max_s=1_000)


@pytest.mark.parametrize(
    ("rule", "age_s", "state"),
    [
        (RULE, 0, "fresh"),
        (RULE, 99.9, "fresh"),
        (RULE, 100, "stale"),
        (RULE, 1_099, "stale"),
        (RULE, 1_100, "expired"),
        (RULE, 10**9, "expired"),
        (NEVER_STALE, 99, "fresh"),
        (NEVER_STALE, 100, "expired"),
        (ALWAYS_CHECKED, 0, "stale"),
        # A clock that was set back: due, neither fresh for years nor lost.
        (RULE, -1, "stale"),
        (RULE, -(10**9), "stale"),
        (NEVER_STALE, -1, "expired"),
    ],
)
def test_a_tag_is_fresh_then_stale_then_expired(rule: UpstreamRule, age_s: float, state: State) -> None:
    """Issue, section 4, "Freshness"; RELIABILITY G24 for the clock."""
    assert tag_state(rule, "latest", 10**10, 10**10 + age_s) == state
    assert age_state(rule, age_s) == state


def test_an_immutable_tag_is_always_fresh() -> None:
    """Issue, section 2: `immutable_tags` are never re-checked."""
    assert tag_state(RULE, "v1.2", 0, 10**12) == "fresh"
    assert tag_state(RULE, "1.2", 0, 10**12) == "expired"


@given(st.lists(st.floats(0, 1e7), min_size=2, max_size=2))
def test_a_tag_never_becomes_fresher_with_age(ages: list[float]) -> None:
    order = ["fresh", "stale", "expired"]
    younger, older = sorted(ages)
    assert order.index(age_state(RULE, younger)) <= order.index(age_state(RULE, older))


@pytest.mark.parametrize(
    ("pattern", "text", "is_match"),
    [
        ("", "", True),
        ("", "a", False),
        ("*", "", True),
        ("*", "anything", True),
        ("v*", "v", True),
        ("v*", "1v", False),
        ("*.*.*", "1.2.3", True),
        ("*.*.*", "1.2", False),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("ab*ba", "aba", False),
        ("*ab*ab*", "abab", True),
        ("*ab*ab*", "aab", False),
        ("v?", "v1", False),
        ("[v]*", "v1", False),
        (".*", "v1", False),
        ("V*", "v1", False),
    ],
)
def test_only_the_star_is_special(pattern: str, text: str, is_match: bool) -> None:
    assert matches([pattern], text) is is_match


def naive(pattern: str, text: str) -> bool:
    """The plainest matcher there is: exponential, and obviously right."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(naive(pattern[1:], text[at:]) for at in range(len(text) + 1))
    return bool(text) and text[0] == pattern[0] and naive(pattern[1:], text[1:])


@given(st.text("ab*", max_size=7), st.text("ab", max_size=9))
def test_a_glob_matches_what_the_plainest_matcher_does(pattern: str, text: str) -> None:
    """RELIABILITY G20: semantics equal to a small model."""
    assert matches([pattern], text) == naive(pattern, text)


def test_all_short_globs_match_what_the_plainest_matcher_does() -> None:
    """Every pattern to five characters against every text to five: nothing left to chance."""
    patterns = ["".join(parts) for size in range(6) for parts in itertools.product("ab*", repeat=size)]
    texts = ["".join(parts) for size in range(6) for parts in itertools.product("ab", repeat=size)]
    assert all(matches([pattern], text) == naive(pattern, text) for pattern in patterns for text in texts)


@pytest.mark.timeout(5)
def test_a_glob_made_to_be_slow_is_not() -> None:
    """RELIABILITY G20: a 4 KiB pattern of stars against 300 characters."""
    assert not matches(["*a" * 2_048 + "b"], "a" * 300)
    assert not matches(["a*" * 2_048 + "b"] * 100, "a" * 300)


def test_any_of_several_patterns_is_enough_and_none_matches_nothing() -> None:
    assert matches(["x", "v*"], "v1")
    assert not matches([], "v1")


@pytest.mark.parametrize(
    ("remaining", "limit", "allowed"),
    [
        (None, None, {Need.DIGEST, Need.TAG, Need.REVALIDATION}),
        (None, 100, {Need.DIGEST, Need.TAG, Need.REVALIDATION}),
        (5, None, {Need.DIGEST, Need.TAG, Need.REVALIDATION}),
        (5, 0, {Need.DIGEST, Need.TAG, Need.REVALIDATION}),
        (100, 100, {Need.DIGEST, Need.TAG, Need.REVALIDATION}),
        (20, 100, {Need.DIGEST, Need.TAG, Need.REVALIDATION}),
        (19, 100, {Need.DIGEST, Need.TAG}),
        (5, 100, {Need.DIGEST, Need.TAG}),
        (4, 100, {Need.DIGEST}),
        (0, 100, {Need.DIGEST}),
    ],
)
def test_the_scarcer_the_quota_the_more_pressing_the_need(
    remaining: int | None, limit: int | None, allowed: set[Need]
) -> None:
    """Issue, section 4: digest misses first, then new tags, then revalidation."""
    assert {need for need in Need if may_ask(need, remaining, limit)} == allowed


def test_the_shares_are_in_order() -> None:
    assert 0 < LAST_SHARE < LOW_SHARE < 1


@given(st.sampled_from([RULE, NEVER_STALE, ALWAYS_CHECKED]), st.sampled_from(["latest", "v1"]), st.floats(0.0, 2_000.0))
def test_a_tag_is_served_until_it_is_expired(rule: UpstreamRule, tag: str, age_s: float) -> None:
    """What an operator is told is what a client will see."""
    is_over = served_until(rule, tag, 0.0) <= age_s
    assert is_over == (tag_state(rule, tag, 0.0, age_s) == "expired")
