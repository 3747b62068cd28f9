"""Shapes that several operations write and read: Repository, tags, encryption, mutability.

Source: ECR API reference; ECR.md 1.3, "Repository object". What is absent is None, and left out of the answer.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from mirror.aws.arns import repository_arn
from mirror.aws.errors import constraint
from mirror.oci.names import Repository
from mirror.registry.repositories import Repositories
from mirror.rules.hosts import Hosts
from mirror.rules.mutability import IMMUTABLE_WITH_EXCLUSION, MUTABLE, MUTABLE_WITH_EXCLUSION
from mirror.rules.repositories import AES256

_WITH_EXCLUSION: Final = (MUTABLE_WITH_EXCLUSION, IMMUTABLE_WITH_EXCLUSION)


class Shapes:
    """Writes repositories."""

    def __init__(self, repositories: Repositories, hosts: Hosts, region: str) -> None:
        self._repositories = repositories
        self._hosts = hosts
        self._region = region

    def arn(self, repository: Repository) -> str:
        return repository_arn(repository.registry, self._region, self._repositories.name(repository))

    def repository(self, repository: Repository) -> dict[str, Any]:
        """Write a Repository. Raises RepositoryNotFound."""
        settings = self._repositories.settings(repository)
        name = self._repositories.name(repository)
        return {
            "repositoryArn": self.arn(repository),
            "registryId": repository.registry.account,
            "repositoryName": name,
            "repositoryUri": f"{self._hosts.host(repository.registry)}/{name}",
            "createdAt": settings.created_at,
            **mutability(settings.mutability, settings.exclusions),
            "imageScanningConfiguration": {"scanOnPush": settings.scan_on_push},
            "encryptionConfiguration": encryption(settings.encryption, settings.kms_key),
        }


def mutability(setting: str, exclusions: Iterable[str]) -> dict[str, Any]:
    """Write the two members that say which tags may move."""
    filters = [{"filterType": "WILDCARD", "filter": glob} for glob in exclusions]
    has_filters = setting in _WITH_EXCLUSION
    return {"imageTagMutability": setting, "imageTagMutabilityExclusionFilters": filters if has_filters else None}


def read_mutability(given: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Read the same two members."""
    filters = given.get("imageTagMutabilityExclusionFilters", ())
    return given.get("imageTagMutability", MUTABLE), tuple(one["filter"] for one in filters)


def encryption(kind: str, key: str) -> dict[str, Any]:
    """Write an EncryptionConfiguration."""
    return {"encryptionType": kind, "kmsKey": key or None}


def read_encryption(given: Mapping[str, Any] | None) -> tuple[str, str]:
    """Read an EncryptionConfiguration: its type and its key. Raises InvalidParameter for a key without KMS."""
    if given is None:
        return AES256, ""
    kind, key = given["encryptionType"], given.get("kmsKey", "")
    if kind == AES256 and key:
        raise constraint("encryptionConfiguration", f"kmsKey can't be set when encryptionType is {AES256}")
    return kind, key


def tags(pairs: Mapping[str, str]) -> list[dict[str, str]]:
    """Write a TagList."""
    return [{"Key": key, "Value": value} for key, value in pairs.items()]


def read_tags(given: Iterable[Mapping[str, str]]) -> list[tuple[str, str]]:
    """Read a TagList; of a public one, whose model wants neither, what is absent is ""."""
    return [(tag.get("Key", ""), tag.get("Value", "")) for tag in given]


def read_tag_map(given: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Read a TagList for an operation that does not model what is wrong with tags. Raises InvalidParameter."""
    pairs = read_tags(given)
    found = dict(pairs)
    if len(found) != len(pairs):
        raise constraint("resourceTags", "Duplicate tag keys found")
    return found
