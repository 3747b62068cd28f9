"""Quotas: which repositories they hold for, and when an addition passes a limit."""

import pytest

from mirror.rules.quotas import QuotaRule, Usage


@pytest.mark.parametrize(
    ("used", "added", "said"),
    [
        (Usage(90, 1), Usage(10, 1), ""),
        (Usage(91, 1), Usage(10, 1), "it has 91 bytes of 100, and 10 would be added"),
        (Usage(0, 3), Usage(0, 1), "it has 3 images of 3, and 1 would be added"),
        (Usage(500, 9), Usage(0, 0), ""),
        (Usage(50, 9), Usage(10, 0), ""),
    ],
)
def test_what_adds_to_a_full_quota_is_refused_and_nothing_else(used: Usage, added: Usage, said: str) -> None:
    """Issue 5, section 2: clear errors. What adds nothing, such as another tag, passes whatever is used."""
    assert QuotaRule(bytes_max=100, images_max=3).exceeded(used, added) == said


def test_a_limit_of_0_is_none() -> None:
    """config/full.toml: 0 is no limit."""
    assert QuotaRule(bytes_max=0, images_max=3).exceeded(Usage(10**15, 1), Usage(10**15, 1)) == ""


@pytest.mark.parametrize(
    ("patterns", "name", "covered", "is_for_each"),
    [
        ((), "team/app", True, False),
        (("team/*",), "team/app", True, True),
        (("team/*", "!team/big"), "team/big", False, True),
        (("re:[a-z]+",), "team/app", False, True),
    ],
)
def test_patterns_make_it_a_quota_of_each_repository(
    patterns: tuple[str, ...], name: str, covered: bool, is_for_each: bool
) -> None:
    """config/full.toml, [[quota]]: patterns are those of destinations."""
    rule = QuotaRule(repositories=patterns, images_max=1)
    assert (rule.covers(name), rule.is_for_each) == (covered, is_for_each)
