"""Resource tags: limits, and what a request does to those that are there."""

import pytest

from mirror.aws.errors import InvalidTagParameter, TooManyTags
from mirror.rules.resource_tags import TAGS_MAX, check_tags, merge, untag


def numbered(count: int) -> dict[str, str]:
    return {f"k{number}": "" for number in range(count)}


def test_tags_within_the_limits_are_taken() -> None:
    """ECR.md 1.3, "Tags": key 1-128, value 0-256, 50 of them."""
    assert check_tags([("k" * 128, "v" * 256), ("a", ""), ("awsome", "aws:")]) == {
        "k" * 128: "v" * 256,
        "a": "",
        "awsome": "aws:",
    }
    assert len(check_tags(numbered(TAGS_MAX).items())) == 50


@pytest.mark.parametrize(
    "pairs",
    [
        [("", "v")],
        [("k" * 129, "v")],
        [("k", "v" * 257)],
        [("aws:createdBy", "v")],
        [("AWS:x", "v")],
        [("k", "1"), ("k", "2")],
    ],
)
def test_a_bad_tag_is_refused(pairs: list[tuple[str, str]]) -> None:
    """ECR.md 1.3, "Tags": InvalidTagParameter."""
    with pytest.raises(InvalidTagParameter):
        check_tags(pairs)


def test_more_than_fifty_tags_are_too_many() -> None:
    """ECR.md 1.3, "Tags": TooManyTags, in one request and together with those that are there."""
    with pytest.raises(TooManyTags):
        check_tags(numbered(51).items())
    with pytest.raises(TooManyTags, match="is 50"):
        merge(numbered(50), {"other": ""})


def test_new_values_win_and_full_sets_can_be_changed() -> None:
    """ECR.md 1.3, "Tags": TagResource merges."""
    there = numbered(50)
    assert merge(there, {"k1": "new"}) == {**there, "k1": "new"}
    assert there["k1"] == ""


def test_untagging_forgets_keys_and_does_not_mind_absent_ones() -> None:
    """ECR.md 1.3, "Tags": UntagResource."""
    assert untag({"a": "1", "b": "2"}, ["a", "x"]) == {"b": "2"}
    with pytest.raises(InvalidTagParameter):
        untag({"a": "1"}, ["aws:x"])
