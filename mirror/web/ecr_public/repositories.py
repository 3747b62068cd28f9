"""Public repositories by the API: made, described, deleted.

Source: ECR Public API reference; ECR.md 2.10. An account's first repository gives its registry an alias.
"""

import time
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from mirror.oci.names import Registry, Repository
from mirror.registry.gallery import Gallery, check_edit
from mirror.registry.public_registries import PublicRegistries
from mirror.registry.repositories import Repositories
from mirror.rules.repositories import RepositorySettings, check_public_name
from mirror.rules.resource_tags import check_tags
from mirror.web.aws.call import Call, Handler, Service
from mirror.web.ecr.paging import invalid_token, make_token, page_size, read_token
from mirror.web.ecr.shapes import read_tags
from mirror.web.ecr.subjects import RegistryOf
from mirror.web.ecr_public.shapes import Shapes, read_catalog_edit


class PublicRepositories:
    """The handlers of CreateRepository, DescribeRepositories and DeleteRepository."""

    def __init__(
        self,
        registry_of: RegistryOf,
        repositories: Repositories,
        registries: PublicRegistries,
        gallery: Gallery,
        shapes: Shapes,
    ) -> None:
        self._registry_of = registry_of
        self._repositories = repositories
        self._registries = registries
        self._gallery = gallery
        self._shapes = shapes

    def handlers(self) -> Mapping[tuple[Service, str], Handler]:
        return {
            ("ecr-public", "CreateRepository"): self.create_repository,
            ("ecr-public", "DescribeRepositories"): self.describe_repositories,
            ("ecr-public", "DeleteRepository"): self.delete_repository,
        }

    async def create_repository(self, call: Call) -> dict[str, Any]:
        """Make a repository of the caller's account, and describe it in the gallery."""
        registry, name = self._registry_of(call), call.input["repositoryName"]
        check_public_name(name)
        tags = check_tags(read_tags(call.input.get("tags", ())))
        edit, logo = read_catalog_edit(call.input.get("catalogData", {}))
        check_edit(edit, logo)
        await self._registries.ensure(registry)
        repository = await self._repositories.create(registry, name, RepositorySettings(time.time(), tags=tags))
        described: dict[str, Any] = {}
        if "catalogData" in call.input:
            described = self._shapes.catalog_data(repository, await self._gallery.edit(repository, edit, logo))
        return {"repository": self._shapes.repository(repository), "catalogData": described}

    async def describe_repositories(self, call: Call) -> dict[str, Any]:
        """Describe the repositories that are named, or all of the registry, by name."""
        registry = self._registry_of(call)
        if "repositoryNames" in call.input:
            named = [self._repositories.get(registry, name) for name in dict.fromkeys(call.input["repositoryNames"])]
            return {"repositories": [self._shapes.repository(repository) for repository in named]}
        last, limit = _read_last(registry, read_token(call)), page_size(call)
        found = list(islice(self._repositories.all(registry, last), limit + 1))
        token = make_token(call, [found[limit - 1].name]) if len(found) > limit else None
        return {"repositories": [self._shapes.repository(one) for one in found[:limit]], "nextToken": token}

    async def delete_repository(self, call: Call) -> dict[str, Any]:
        """Delete a repository; with `force` its images too."""
        repository = self._repositories.get(self._registry_of(call), call.input["repositoryName"])
        shape = self._shapes.repository(repository)
        await self._repositories.delete(repository, force=call.input.get("force", False))
        return {"repository": shape}


def _read_last(registry: Registry, cursor: Sequence[Any] | None) -> Repository | None:
    if cursor is None:
        return None
    try:
        [name] = cursor
        check_public_name(name)
    except (ValueError, TypeError):
        raise invalid_token() from None
    return Repository(registry, "", name)
