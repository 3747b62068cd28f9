"""Where the images of a repository are replicated to.

Source: ECR guide, "Private image replication"; ECR.md 2.4. A filter is a plain prefix of the name: no slash is implied
and no character is special. The structs are the wire's shape. Lengths, patterns and enums are the API model's concern.
Pure.
"""

import re
from typing import Final, Literal, NamedTuple

import msgspec

from mirror.aws.errors import constraint

DESTINATIONS_MAX: Final = 25  # ECR quota: unique destinations across all rules

HEADER: Final = "Mirror-Replication"  # what one of our nodes says to another when it replicates
_SAID: Final = re.compile(r"([0-9]{12}); from=([a-z0-9-]{2,25})")
_FIELD: Final = "replicationConfiguration"


class Destination(msgspec.Struct, frozen=True, rename="camel"):
    """A registry: that of an account in a region."""

    region: str
    registry_id: str


class RepositoryFilter(msgspec.Struct, frozen=True, rename="camel"):
    """A prefix of names of repositories."""

    filter: str
    filter_type: Literal["PREFIX_MATCH"]


class DeleteReplication(msgspec.Struct, frozen=True):
    """Whether deletions here are repeated there."""

    enabled: bool


class ReplicationRule(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The repositories that match any filter, or all if there is none, go to all these destinations."""

    destinations: tuple[Destination, ...]
    repository_filters: tuple[RepositoryFilter, ...] = ()
    delete_replication: DeleteReplication | None = None


class ReplicationConfiguration(msgspec.Struct, frozen=True):
    """The replication configuration of a registry; `rules` is always written."""

    rules: tuple[ReplicationRule, ...]


class Copy(NamedTuple):
    """A destination of one repository. `deletes`: a rule to it repeats deletions."""

    region: str
    account: str
    deletes: bool


def check_replication(configuration: ReplicationConfiguration, region: str, account: str) -> None:
    """Raise InvalidParameter unless the registry of `account` in `region` may have this configuration."""
    found = {one for rule in configuration.rules for one in rule.destinations}
    if Destination(region, account) in found:
        raise constraint(_FIELD, "Replication destination cannot be the same as the source registry")
    if len(found) > DESTINATIONS_MAX:
        raise constraint(
            _FIELD, f"Replication configuration cannot have more than {DESTINATIONS_MAX} unique destinations"
        )


def destinations(configuration: ReplicationConfiguration, name: str) -> list[Copy]:
    """Return where images of the repository `name` go: the union over all rules, in the order they name them first."""
    found: dict[Destination, bool] = {}
    for rule in configuration.rules:
        if _covers(rule, name):
            deletes = rule.delete_replication is not None and rule.delete_replication.enabled
            for one in rule.destinations:
                found[one] = found.get(one, False) or deletes
    return [Copy(one.region, one.registry_id, deletes) for one, deletes in found.items()]


def _covers(rule: ReplicationRule, name: str) -> bool:
    return not rule.repository_filters or name.startswith(tuple(one.filter for one in rule.repository_filters))


def said(account: str, region: str) -> str:
    """Write the header: to the registry of which account images go, and from which region."""
    return f"{account}; from={region}"


def read_said(text: str) -> tuple[str, str] | None:
    """Read the header: account there, region here; None when it says something else."""
    match = _SAID.fullmatch(text)
    return (match[1], match[2]) if match is not None else None
