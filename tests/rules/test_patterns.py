"""Patterns of names and tags: what they choose, what they leave out, and which tags are the newest."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.rules.patterns import Patterns, compiled, newest

TAG = st.from_regex(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}", fullmatch=True)


@pytest.mark.parametrize(
    ("patterns", "chosen", "left"),
    [
        ([], ["anything"], []),
        (["v*"], ["v1", "v"], ["1"]),
        (["!*-rc*"], ["1.0"], ["1.0-rc1"]),
        (["v*", "!*-rc*"], ["v1.0"], ["v1.0-rc1", "latest"]),
        (["re:v[0-9]+"], ["v12"], ["v12.1", "xv12"]),
        (["semver:>=1.2 <2"], ["1.2", "v1.9.9", "1.2.0"], ["2.0.0", "1.1", "latest", "1.5-rc1"]),
        (["semver:^1.4 || 3.x"], ["1.4.1", "3.0"], ["1.3", "2.0"]),
        (["latest", "semver:>=2"], ["latest", "2.1"], ["1.9"]),
    ],
)
def test_patterns_choose_what_they_say(patterns: list[str], chosen: list[str], left: list[str]) -> None:
    """Issue 4, section 3: glob, regex by re2, semver ranges."""
    one = Patterns(patterns)
    assert [text for text in (*chosen, *left) if one.match(text)] == chosen


@pytest.mark.parametrize("text", ["", "re:(", "re:" + "(a{1000}){1000}", "semver:newest", "semver:>=", "x" * 513])
def test_what_is_no_pattern_is_refused(text: str) -> None:
    """README, bad input: a precise error."""
    with pytest.raises(ValueError, match=r"pattern|expression|range"):
        compiled(text)


def test_no_expression_takes_more_than_linear_time() -> None:
    """RELIABILITY G20: a nested repetition over a long text is where back-tracking takes for ever."""
    match, started_at = compiled("re:(a+)+b"), time.process_time()
    assert not match("a" * 128)
    assert time.process_time() - started_at < 1.0


@given(st.lists(TAG, unique=True, max_size=20), st.integers(1, 20))
def test_the_newest_are_some_of_the_tags_each_once(tags: list[str], count: int) -> None:
    """Issue 4, section 3: newest N, of whatever tags there are."""
    found = newest(tags, count)
    assert len(found) == min(count, len(tags)) == len(set(found) & set(tags))


def test_versions_are_newer_by_their_numbers() -> None:
    """Semantic Versioning 2.0.0, section 11: numbers by their value; a pre-release is before its release."""
    tags = ["1.9", "1.10", "latest", "2.0.0-rc1", "v2.0.0", "build-9", "build-10"]
    assert newest(tags, 9) == ["v2.0.0", "2.0.0-rc1", "1.10", "1.9", "latest", "build-10", "build-9"]


def test_only_plain_texts_can_be_asked_for_by_name() -> None:
    """Issue 4, section 3: a watched list needs no list of tags."""
    assert Patterns(["3.20", "latest"]).literals == ("3.20", "latest")
    assert Patterns(["3.20", "v*"]).literals == ()
