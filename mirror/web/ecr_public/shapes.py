"""Shapes of the ECR Public API: repositories, registries, catalogue data.

Source: ECR Public API reference; ECR.md 2.10. Public ARNs have no region.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from mirror.aws.arns import registry_arn, repository_arn
from mirror.oci.names import Registry, Repository
from mirror.registry.public_registries import Alias, PublicRegistries
from mirror.registry.repositories import Repositories
from mirror.rules.catalog_data import CatalogData, CatalogEdit
from mirror.rules.hosts import Hosts

LOGOS: Final = "/logos/"


class Shapes:
    """Writes what needs to know how registries are called."""

    def __init__(self, repositories: Repositories, registries: PublicRegistries, hosts: Hosts) -> None:
        self._repositories = repositories
        self._registries = registries
        self._hosts = hosts

    def repository(self, repository: Repository) -> dict[str, Any]:
        """Write a Repository. Raises RepositoryNotFound."""
        registry, name = repository.registry, repository.name
        return {
            "repositoryArn": repository_arn(registry, "", name),
            "registryId": registry.account,
            "repositoryName": name,
            "repositoryUri": f"{self._uri(registry)}/{name}",
            "createdAt": self._repositories.settings(repository).created_at,
        }

    def registry(self, registry: Registry) -> dict[str, Any]:
        """Write a Registry. Nobody verifies accounts here."""
        return {
            "registryId": registry.account,
            "registryArn": registry_arn(registry, ""),
            "registryUri": self._uri(registry),
            "verified": False,
            "aliases": [_alias(name, alias) for name, alias in self._registries.aliases(registry)],
        }

    def catalog_data(self, repository: Repository, data: CatalogData) -> dict[str, Any]:
        """Write a RepositoryCatalogData: what was never said is left out."""
        path = f"{LOGOS}{repository.registry.account}/{repository.name}"
        return {
            "description": data.description or None,
            "architectures": list(data.architectures) or None,
            "operatingSystems": list(data.operating_systems) or None,
            "logoUrl": f"{self._hosts.endpoint(repository.registry)}{path}" if data.logo else None,
            "aboutText": data.about or None,
            "usageText": data.usage or None,
        }

    def _uri(self, registry: Registry) -> str:
        """Say where a registry is. A repository that lost its registry's alias is found by the account's id."""
        return f"{self._hosts.host(registry)}/{self._registries.alias(registry) or registry.account}"


def read_catalog_edit(given: Mapping[str, Any]) -> tuple[CatalogEdit, bytes | None]:
    """Read a RepositoryCatalogDataInput: the edit, and the bytes of a new logo."""
    edit = CatalogEdit(
        description=given.get("description"),
        architectures=_labels(given.get("architectures")),
        operating_systems=_labels(given.get("operatingSystems")),
        about=given.get("aboutText"),
        usage=given.get("usageText"),
    )
    return edit, given.get("logoImageBlob")


def _labels(labels: Iterable[str] | None) -> tuple[str, ...] | None:
    return None if labels is None else tuple(labels)


def _alias(name: str, alias: Alias) -> dict[str, Any]:
    return {
        "name": name,
        "status": alias.status,
        "primaryRegistryAlias": alias.primary,
        "defaultRegistryAlias": alias.default,
    }
