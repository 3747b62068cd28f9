"""Replication configuration: where the images of a repository go."""

import msgspec
import pytest

from mirror.aws.errors import InvalidParameter
from mirror.rules.replication import (
    Copy,
    DeleteReplication,
    Destination,
    ReplicationConfiguration,
    ReplicationRule,
    RepositoryFilter,
    check_replication,
    destinations,
)

REGION, ACCOUNT, OTHER = "us-west-2", "111111111111", "222222222222"
EAST, WEST = Destination("us-east-1", ACCOUNT), Destination("us-west-2", OTHER)
FRAME = "Invalid parameter at 'replicationConfiguration' failed to satisfy constraint: '"


def rule(*to: Destination, prefixes: tuple[str, ...] = (), deletes: bool | None = None) -> ReplicationRule:
    filters = tuple(RepositoryFilter(prefix, "PREFIX_MATCH") for prefix in prefixes)
    return ReplicationRule(to, filters, None if deletes is None else DeleteReplication(deletes))


def configuration(*rules: ReplicationRule) -> ReplicationConfiguration:
    return ReplicationConfiguration(rules)


WORKED = configuration(rule(EAST, prefixes=("prod",)), rule(WEST))


def test_the_worked_example_of_the_guide_comes_out_as_there() -> None:
    """ECR.md 2.4, "Worked example"."""
    assert destinations(WORKED, "prod-web") == [
        Copy("us-east-1", ACCOUNT, deletes=False),
        Copy("us-west-2", OTHER, deletes=False),
    ]
    assert destinations(WORKED, "test") == [Copy("us-west-2", OTHER, deletes=False)]


PREFIXES = [
    (("prod",), "prod", True),
    (("prod",), "production/x", True),
    (("prod",), "my-prod", False),
    (("prod/",), "prod", False),
    (("prod/",), "prod/x", True),
    (("a.",), "ab", False),
    (("x", "pr"), "prod", True),
    ((), "anything", True),
]


@pytest.mark.parametrize(("prefixes", "name", "is_meant"), PREFIXES)
def test_a_filter_is_the_plain_start_of_a_name(prefixes: tuple[str, ...], name: str, is_meant: bool) -> None:
    """ECR.md 2.4: no implied slash, no wildcard; no filters mean all repositories."""
    assert bool(destinations(configuration(rule(EAST, prefixes=prefixes)), name)) is is_meant


def test_a_destination_that_several_rules_name_is_one() -> None:
    """ECR.md 2.4: "the union of destinations"; deletions are repeated if any of the rules says so."""
    configured = configuration(
        rule(EAST, WEST, deletes=False), rule(EAST, prefixes=("prod",), deletes=True), rule(EAST, prefixes=("x",))
    )
    assert destinations(configured, "prod") == [
        Copy("us-east-1", ACCOUNT, deletes=True),
        Copy("us-west-2", OTHER, deletes=False),
    ]
    assert destinations(configured, "test")[0] == Copy("us-east-1", ACCOUNT, deletes=False)
    assert destinations(configuration(), "test") == []


def refusal(configured: ReplicationConfiguration) -> str:
    with pytest.raises(InvalidParameter) as caught:
        check_replication(configured, REGION, ACCOUNT)
    return caught.value.message


def test_a_registry_is_not_replicated_to_itself() -> None:
    """ECR.md 1.3, "InvalidParameter (replication)", and 2.4: "refused in any rule"."""
    check_replication(WORKED, REGION, ACCOUNT)
    check_replication(configuration(), REGION, ACCOUNT)
    own = Destination(REGION, ACCOUNT)
    message = FRAME + "Replication destination cannot be the same as the source registry'"
    assert refusal(configuration(rule(own))) == message
    assert refusal(configuration(rule(EAST), rule(WEST, own, prefixes=("x",)))) == message


def test_there_are_at_most_25_different_destinations() -> None:
    """ECR.md 2.4: "<= 25 unique destinations over all rules"; the same one twice counts once."""
    many = [Destination(f"region-{number}", ACCOUNT) for number in range(26)]
    check_replication(configuration(rule(*many[:25]), rule(*many[:25])), REGION, ACCOUNT)
    assert refusal(configuration(rule(*many[:13]), rule(*many[13:]))).startswith(FRAME)


def test_the_configuration_has_the_shape_of_the_wire() -> None:
    """ECR.md 2.4: `rules` is always there, what a rule does not have is not."""
    assert msgspec.json.encode(configuration()) == b'{"rules":[]}'
    text = (
        b'{"rules":[{"destinations":[{"region":"us-east-1","registryId":"111111111111"}],"repositoryFilters":'
        b'[{"filter":"prod","filterType":"PREFIX_MATCH"}],"deleteReplication":{"enabled":false}},'
        b'{"destinations":[{"region":"us-west-2","registryId":"222222222222"}]}]}'
    )
    read = msgspec.json.decode(text, type=ReplicationConfiguration)
    assert read == configuration(rule(EAST, prefixes=("prod",), deletes=False), rule(WEST))
    assert msgspec.json.encode(read) == text
