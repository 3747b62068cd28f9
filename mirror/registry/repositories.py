"""Repositories: made, found, set, deleted, by the names that clients of a registry know.

Source: ECR API reference, CreateRepository and its kin; ECR.md 2.5 to 2.7. A repository of our own and one that caches
an upstream are both repositories of the registry; only how they came to be differs.
"""

import time
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from mirror.aws.errors import RepositoryAlreadyExists, RepositoryNotEmpty, RepositoryNotFound
from mirror.oci.names import Registry, Repository
from mirror.rules.mutability import is_immutable
from mirror.rules.repositories import RepositorySettings, encode, read_settings
from mirror.rules.routing import ROOT, Routing
from mirror.rules.templates import AppliedFor, Template, choose, settings_of
from mirror.store.catalog import Catalog
from mirror.store.documents import Documents
from mirror.store.index import Index
from mirror.store.lifecycles import LIFECYCLE

TEMPLATE: Final = "template"  # the kind of document that a creation template is; its name is the prefix
PAGE: Final = 1_000  # repositories looked at in one read


class Repositories:
    """The repositories of all registries."""

    def __init__(self, index: Index, catalog: Catalog, documents: Documents, routing: Routing) -> None:
        self._index = index
        self._catalog = catalog
        self._documents = documents
        self._routing = routing

    # By name. A name is the one that ECR knows: a cached repository's begins with its rule's prefix.

    def meant(self, registry: Registry, name: str) -> Repository:
        """Return the repository that `name` means in `registry`, there or not."""
        found = self.find(registry, name)
        return self._routing.push_target(registry, name, None) if found is None else found

    def pulled(self, registry: Registry, name: str) -> Repository:
        """Return the repository that a pull of `name` reads: without one of our own that of the root upstream."""
        return self._routing.route(registry, name, None, self._index.owned)

    def find(self, registry: Registry, name: str) -> Repository | None:
        """Return the repository that `name` means in `registry`, if there is one."""
        repository = self._routing.push_target(registry, name, None)
        if self._index.settings(repository) is not None:
            return repository
        rule = next((rule for rule in self._routing.rules(registry) if rule.name == ROOT), None)
        cached = Repository(registry, ROOT, name)
        return cached if rule is not None and self._index.settings(cached) is not None else None

    def get(self, registry: Registry, name: str) -> Repository:
        """Return the repository that `name` means. Raises RepositoryNotFound."""
        repository = self.find(registry, name)
        if repository is None:
            raise RepositoryNotFound(name, registry)
        return repository

    def exists(self, repository: Repository) -> bool:
        return self._index.settings(repository) is not None

    def name(self, repository: Repository) -> str:
        """Return the name by which clients of its registry know a repository."""
        return self._routing.address(repository)

    def settings(self, repository: Repository) -> RepositorySettings:
        """Return what a repository is set to. Raises RepositoryNotFound."""
        found = self._index.settings(repository)
        if found is None:
            raise RepositoryNotFound(self.name(repository), repository.registry)
        return read_settings(found)

    def freezes(self, repository: Repository, tag: str) -> bool:
        """Tell whether a tag stays what it is once it is there (ECR.md 2.7, and 2.5 step 4 of cached ones)."""
        found = self._index.settings(repository)
        if found is None:
            return False
        settings = read_settings(found)
        return is_immutable(settings.mutability, settings.exclusions, tag)

    def all(self, registry: Registry, last: Repository | None = None) -> Iterator[Repository]:
        """List the repositories of `registry` behind `last`: its own first, then cached ones, by name."""
        while page := self._index.repositories(registry, last, PAGE):
            yield from page
            last = page[-1]

    # Made, set, deleted.

    async def create(self, registry: Registry, name: str, settings: RepositorySettings) -> Repository:
        """Make the repository `name`. Raises RepositoryAlreadyExists."""
        repository = self._routing.push_target(registry, name, None)
        if not await self._catalog.create_repository(repository, encode(settings), settings.created_at):
            raise RepositoryAlreadyExists(name, registry)
        return repository

    def template(self, repository: Repository, applied_for: AppliedFor) -> Template | None:
        """Return the template by which a repository would be made for this reason."""
        found = self._documents.list(repository.registry, TEMPLATE)
        templates = [msgspec.json.decode(body, type=Template) for _, body in found]
        return choose(templates, self.name(repository), applied_for)

    async def make(self, repository: Repository, applied_for: AppliedFor) -> None:
        """Make a repository that something needs, by its template or with defaults, unless it is there."""
        if self._index.settings(repository) is not None:
            return
        template = self.template(repository, applied_for)
        settings = settings_of(template, time.time())
        made = await self._catalog.create_repository(repository, encode(settings), settings.created_at)
        if made and template is not None and template.lifecycle_policy:
            await self._catalog.put_document(repository, LIFECYCLE, template.lifecycle_policy, settings.created_at)

    async def change(
        self, repository: Repository, change: Callable[[RepositorySettings], RepositorySettings]
    ) -> RepositorySettings:
        """Let `change` make new settings of the present ones, with nobody in between. Raises RepositoryNotFound."""

        def changed(data: bytes) -> bytes:
            return encode(change(read_settings(data)))

        found = await self._catalog.change_settings(repository, changed, time.time())
        if found is None:
            raise RepositoryNotFound(self.name(repository), repository.registry)
        return read_settings(found)

    async def delete(self, repository: Repository, *, force: bool) -> None:
        """Delete a repository and, with `force`, its images. Raises RepositoryNotFound, RepositoryNotEmpty."""
        deleted = await self._catalog.delete_repository(repository, time.time(), force=force)
        name = self.name(repository)
        if deleted is None:
            raise RepositoryNotFound(name, repository.registry)
        if not deleted:
            raise RepositoryNotEmpty(name, repository.registry)
