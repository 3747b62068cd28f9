"""Scanning configuration: which repositories are scanned, and when."""

import msgspec
import pytest

from mirror.aws.errors import InvalidParameter
from mirror.rules.scanning import (
    Frequency,
    ScanFilter,
    ScanningConfiguration,
    ScanRule,
    ScanType,
    applied_filters,
    check_scanning,
    filter_matches,
    frequency,
    scans_on_demand,
)

NAMES = ["prod", "repo-prod", "prod-repo", "repo-prod-repo", "prodrepo"]
FILTERS = [
    ("prod", "YYYYY"),
    ("*prod", "YY..."),
    ("prod*", "Y.Y.Y"),
    ("*prod*", "YYYYY"),
    ("prod*repo", "..Y.Y"),
    ("pro", "YYYYY"),
    ("prod.repo", "....."),
    ("*", "YYYYY"),
]


@pytest.mark.parametrize(("text", "wanted"), FILTERS)
def test_a_filter_is_a_substring_unless_it_has_a_star(text: str, wanted: str) -> None:
    """ECR.md 2.8, the table of filters; 5 item 15."""
    assert "".join("Y" if filter_matches(text, name) else "." for name in NAMES) == wanted


def rule(scan_frequency: Frequency, *filters: str) -> ScanRule:
    return ScanRule(scan_frequency, tuple(ScanFilter(text, "WILDCARD") for text in filters))


def configuration(scan_type: ScanType, *rules: ScanRule) -> ScanningConfiguration:
    return ScanningConfiguration(scan_type, rules)


CONTINUOUS = rule("CONTINUOUS_SCAN", "prod", "x")
ON_PUSH = rule("SCAN_ON_PUSH", "*", "p*", "y")
FREQUENCIES = [
    (ScanningConfiguration(), "prod", "MANUAL", []),
    (configuration("BASIC", rule("SCAN_ON_PUSH", "prod")), "prod", "SCAN_ON_PUSH", ["prod"]),
    (configuration("BASIC", rule("SCAN_ON_PUSH", "prod")), "test", "MANUAL", []),
    (configuration("BASIC", rule("SCAN_ON_PUSH")), "prod", "MANUAL", []),
    (configuration("BASIC", rule("MANUAL", "*"), rule("SCAN_ON_PUSH", "p*")), "prod", "SCAN_ON_PUSH", ["p*"]),
    (configuration("BASIC", rule("MANUAL", "t*")), "test", "MANUAL", ["t*"]),
    (configuration("ENHANCED", ON_PUSH, CONTINUOUS), "prod", "CONTINUOUS_SCAN", ["prod"]),
    (configuration("ENHANCED", CONTINUOUS, ON_PUSH), "prod", "CONTINUOUS_SCAN", ["prod"]),
    (configuration("ENHANCED", CONTINUOUS, ON_PUSH), "pears", "SCAN_ON_PUSH", ["*", "p*"]),
    (configuration("ENHANCED", CONTINUOUS), "test", "MANUAL", []),
]


@pytest.mark.parametrize(("configured", "name", "wanted", "filters"), FREQUENCIES)
def test_the_most_frequent_of_the_matching_rules_counts(
    configured: ScanningConfiguration, name: str, wanted: Frequency, filters: list[str]
) -> None:
    """ECR.md 2.8: "CONTINUOUS_SCAN beats SCAN_ON_PUSH"; without a match nothing is scanned unasked."""
    assert frequency(configured, name) == wanted
    assert [one.filter for one in applied_filters(configured, name)] == filters


def test_enhanced_scanning_refuses_scans_by_hand() -> None:
    """ECR.md 2.8: "manual scans refused"."""
    assert scans_on_demand(ScanningConfiguration())
    assert not scans_on_demand(configuration("ENHANCED"))


@pytest.mark.parametrize(
    ("configured", "is_good"),
    [
        (configuration("BASIC"), True),
        (configuration("BASIC", rule("SCAN_ON_PUSH", "*"), rule("MANUAL", "*")), True),
        (configuration("BASIC", rule("CONTINUOUS_SCAN", "*")), False),
        (configuration("ENHANCED", CONTINUOUS, ON_PUSH), True),
        (configuration("ENHANCED", CONTINUOUS, rule("MANUAL", "*")), False),
    ],
)
def test_each_scan_type_has_its_frequencies(configured: ScanningConfiguration, is_good: bool) -> None:
    """ECR API reference, RegistryScanningRule: what is supported by BASIC and by ENHANCED."""
    if is_good:
        check_scanning(configured)
    else:
        with pytest.raises(InvalidParameter, match="scanFrequency for scanType"):
            check_scanning(configured)


def test_the_configuration_has_the_shape_of_the_wire() -> None:
    """ECR.md 2.8: the default has both members."""
    assert msgspec.json.encode(ScanningConfiguration()) == b'{"scanType":"BASIC","rules":[]}'
    text = (
        b'{"scanType":"ENHANCED","rules":[{"scanFrequency":"CONTINUOUS_SCAN","repositoryFilters":'
        b'[{"filter":"prod","filterType":"WILDCARD"},{"filter":"x","filterType":"WILDCARD"}]}]}'
    )
    read = msgspec.json.decode(text, type=ScanningConfiguration)
    assert read == configuration("ENHANCED", CONTINUOUS)
    assert msgspec.json.encode(read) == text
