"""Which repositories of a registry are scanned, and when.

Source: ECR guide, "Filters to choose which repositories are scanned"; ECR.md 2.8. A filter without `*` is a substring,
one with `*` a glob over the whole name. The structs are the wire's shape. Lengths, patterns and enums are the API
model's concern. Pure.
"""

from typing import Final, Literal

import msgspec

from mirror.aws.errors import constraint
from mirror.rules.globs import matches

ScanType = Literal["BASIC", "ENHANCED"]
Frequency = Literal["SCAN_ON_PUSH", "CONTINUOUS_SCAN", "MANUAL"]

FREQUENCIES: Final[dict[str, tuple[Frequency, ...]]] = {
    "BASIC": ("SCAN_ON_PUSH", "MANUAL"),
    "ENHANCED": ("CONTINUOUS_SCAN", "SCAN_ON_PUSH"),
}
_RANK: Final[tuple[Frequency, ...]] = ("MANUAL", "SCAN_ON_PUSH", "CONTINUOUS_SCAN")


class ScanFilter(msgspec.Struct, frozen=True, rename="camel"):
    """One filter over names of repositories."""

    filter: str
    filter_type: Literal["WILDCARD"]


class ScanRule(msgspec.Struct, frozen=True, rename="camel"):
    """How often the repositories that match any filter are scanned; no filter matches none."""

    scan_frequency: Frequency
    repository_filters: tuple[ScanFilter, ...]


class ScanningConfiguration(msgspec.Struct, frozen=True, rename="camel"):
    """The scanning configuration of a registry; all members are always written."""

    scan_type: ScanType = "BASIC"
    rules: tuple[ScanRule, ...] = ()


def check_scanning(configuration: ScanningConfiguration) -> None:
    """Raise InvalidParameter for a frequency that the scan type does not know."""
    known = FREQUENCIES[configuration.scan_type]
    for rule in configuration.rules:
        if rule.scan_frequency not in known:
            raise constraint(
                "rules", f"scanFrequency for scanType {configuration.scan_type} must be one of {', '.join(known)}"
            )


def filter_matches(text: str, name: str) -> bool:
    """Tell whether one filter's text means the repository `name`."""
    return matches((text,), name) if "*" in text else text in name


def frequency(configuration: ScanningConfiguration, name: str) -> Frequency:
    """Say when images of the repository `name` are scanned; MANUAL: never unasked.

    Whether they may be scanned when somebody asks is `scans_on_demand`.
    """
    found = [rule.scan_frequency for rule in configuration.rules if _applied(rule, name)]
    return max(found, key=_RANK.index, default="MANUAL")


def applied_filters(configuration: ScanningConfiguration, name: str) -> list[ScanFilter]:
    """Return the filters, of the rules that decide the frequency of `name`, that match it."""
    decided = frequency(configuration, name)
    return [one for rule in configuration.rules if rule.scan_frequency == decided for one in _applied(rule, name)]


def scans_on_demand(configuration: ScanningConfiguration) -> bool:
    """Tell whether StartImageScan is answered: enhanced scanning refuses it."""
    return configuration.scan_type == "BASIC"


def _applied(rule: ScanRule, name: str) -> list[ScanFilter]:
    return [one for one in rule.repository_filters if filter_matches(one.filter, name)]
