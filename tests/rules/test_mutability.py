"""Tag mutability: which tags may move, and which settings may say so."""

import pytest

from mirror.aws.errors import InvalidParameter
from mirror.rules.mutability import MUTABILITIES, check_settings, is_immutable

FILTERS = "Invalid parameter at 'imageTagMutabilityExclusionFilters' failed to satisfy constraint: "
NULL = "'ImageTagMutabilityExclusionFilters can't be null when imageTagMutability is set as {}'"
PATTERN = "'Member must satisfy regular expression pattern: ^[0-9a-zA-Z._*-]{1,128}$'"

UNKNOWN = (
    "Invalid parameter at 'imageTagMutability' failed to satisfy constraint: must be one of 'MUTABLE', 'IMMUTABLE', "
    "'MUTABLE_WITH_EXCLUSION', 'IMMUTABLE_WITH_EXCLUSION'"
)

GOOD = [
    ("MUTABLE", []),
    ("IMMUTABLE", []),
    ("MUTABLE_WITH_EXCLUSION", ["*"]),
    ("IMMUTABLE_WITH_EXCLUSION", ["latest", "dev-*", "v1._*", "A" * 128, "*-*"]),
]
BAD = [
    (
        "mutable",
        [],
        UNKNOWN,
    ),
    ("MUTABLE_WITH_EXCLUSION", [], FILTERS + NULL.format("MUTABLE_WITH_EXCLUSION")),
    ("IMMUTABLE_WITH_EXCLUSION", [], FILTERS + NULL.format("IMMUTABLE_WITH_EXCLUSION")),
    (
        "MUTABLE",
        ["a"],
        FILTERS + "'ImageTagMutabilityExclusionFilters must be null when imageTagMutability is set as MUTABLE'",
    ),
    (
        "IMMUTABLE",
        ["a"],
        FILTERS + "'ImageTagMutabilityExclusionFilters must be null when imageTagMutability is set as IMMUTABLE'",
    ),
    ("IMMUTABLE_WITH_EXCLUSION", list("abcdef"), FILTERS + "'Member must have length less than or equal to 5'"),
    ("IMMUTABLE_WITH_EXCLUSION", ["a", ""], FILTERS + PATTERN),
    ("IMMUTABLE_WITH_EXCLUSION", ["a\n"], FILTERS + PATTERN),
    ("IMMUTABLE_WITH_EXCLUSION", ["v?"], FILTERS + PATTERN),
    ("IMMUTABLE_WITH_EXCLUSION", ["é"], FILTERS + PATTERN),
    ("IMMUTABLE_WITH_EXCLUSION", ["a" * 129], FILTERS + PATTERN),
]


@pytest.mark.parametrize(("mutability", "filters"), GOOD)
def test_settings_that_go_together_are_taken(mutability: str, filters: list[str]) -> None:
    """ECR.md 2.7: only the `_WITH_EXCLUSION` values have filters, 1 to 5."""
    check_settings(mutability, filters)


@pytest.mark.parametrize(("mutability", "filters", "message"), BAD)
def test_settings_that_do_not_go_together_are_refused(mutability: str, filters: list[str], message: str) -> None:
    """ECR.md 1.3, "Error texts", and 2.7."""
    with pytest.raises(InvalidParameter) as caught:
        check_settings(mutability, filters)
    assert caught.value.message == message


TAGS = [
    ("MUTABLE", [], "latest", False),
    ("IMMUTABLE", [], "latest", True),
    ("IMMUTABLE_WITH_EXCLUSION", ["latest", "dev-*"], "latest", False),
    ("IMMUTABLE_WITH_EXCLUSION", ["latest", "dev-*"], "dev-1", False),
    ("IMMUTABLE_WITH_EXCLUSION", ["latest", "dev-*"], "dev", True),
    ("IMMUTABLE_WITH_EXCLUSION", ["latest", "dev-*"], "my-latest", True),
    ("IMMUTABLE_WITH_EXCLUSION", ["v.*"], "v1", True),
    ("IMMUTABLE_WITH_EXCLUSION", ["v.*"], "v.1", False),
    ("MUTABLE_WITH_EXCLUSION", ["v*", "*-final"], "v1", True),
    ("MUTABLE_WITH_EXCLUSION", ["v*", "*-final"], "a-final", True),
    ("MUTABLE_WITH_EXCLUSION", ["v*", "*-final"], "latest", False),
]


@pytest.mark.parametrize(("mutability", "filters", "tag", "wanted"), TAGS)
def test_a_filter_turns_the_setting_round_for_whole_tags(
    mutability: str, filters: list[str], tag: str, wanted: bool
) -> None:
    """ECR.md 2.7: "Exclusion inverts"; only `*` is special, `.` is itself."""
    assert is_immutable(mutability, filters, tag) is wanted


@pytest.mark.timeout(5)
@pytest.mark.parametrize("mutability", MUTABILITIES)
def test_filters_made_to_be_slow_are_not(mutability: str) -> None:
    """RELIABILITY G20."""
    assert is_immutable(mutability, ["*a" * 63 + "*b"] * 5, "a" * 128) is mutability.startswith("IMMUTABLE")
