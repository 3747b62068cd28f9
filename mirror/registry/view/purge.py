"""Purging cached content by hand: what an upstream gave is forgotten, and the next pull fetches it.

Never anything of our own: what was pushed here cannot be fetched again. Bytes that nothing names any more are the
collection's; those that other repositories name stay theirs.
"""

import time
from typing import Final

import msgspec

from mirror.aws.errors import InvalidParameter
from mirror.oci.names import Reference, Registry, Repository
from mirror.registry.repositories import Repositories
from mirror.registry.view.named import is_glob, named_repositories
from mirror.store.index import Index
from mirror.store.mutations import NamedByLists
from mirror.store.purges import Gone, Purges

PURGE_S_MAX: Final = 90.0  # those who ask give up after two minutes


class Purged(msgspec.Struct, frozen=True, rename="camel"):
    """What is gone from a repository, or would be: `bytes` as the repository names them."""

    repository: str
    tags: int
    manifests: int
    blobs: int
    bytes: int


class PurgeAnswer(msgspec.Struct, frozen=True, rename="camel"):
    """What is gone, repository by repository. `is_over` is False when time was up before all was."""

    repositories: list[Purged]
    is_over: bool


class Purge:
    """Purges what repositories cache."""

    def __init__(self, index: Index, purges: Purges, repositories: Repositories) -> None:
        self._index = index
        self._purges = purges
        self._repositories = repositories

    async def purge(self, registry: Registry, name: str, reference: Reference | None, *, dry: bool) -> PurgeAnswer:
        """Purge a tag or an image of a repository, or all of each that `name` means; `dry` says what would go.

        Raises NameInvalid, RepositoryNotFound, InvalidParameter for what is our own or part of an index.
        """
        deadline = time.monotonic() + PURGE_S_MAX
        found: list[Purged] = []
        for repository in self._meant(registry, name, reference):
            if time.monotonic() > deadline:
                break
            gone = await self._purge(repository, reference, deadline, dry=dry)
            if gone != Gone():
                called = self._repositories.name(repository)
                found.append(Purged(called, gone.tags, gone.manifests, gone.blobs, gone.size))
        return PurgeAnswer(found, is_over=time.monotonic() < deadline)

    def _meant(self, registry: Registry, name: str, reference: Reference | None) -> list[Repository]:
        if not name or (reference is not None and is_glob(name)):
            raise InvalidParameter("A tag or a digest is purged of one repository; all of several by a name with *")
        found = list(named_repositories(self._repositories, registry, name))
        if not is_glob(name) and found[0].owned:
            raise InvalidParameter(f"{name} is of no upstream: mirror image delete deletes what was pushed here")
        return [repository for repository in found if not repository.owned]

    async def _purge(self, repository: Repository, reference: Reference | None, deadline: float, *, dry: bool) -> Gone:
        try:
            if dry:
                return await self._purges.forecast(repository, reference)
            if reference is None:
                gone = await self._purge_all(repository, deadline)
            else:
                gone = await self._purges.purge(repository, reference, time.time())
        except NamedByLists as error:
            lists = ", ".join(map(str, error.lists))
            raise InvalidParameter(f"{reference} is part of {lists}: purge that") from None
        # Lists of tags and referrers that upstream gave are asked for again as well.
        await self._index.drop_documents(repository)
        return gone

    async def _purge_all(self, repository: Repository, deadline: float) -> Gone:
        gone = Gone()
        while time.monotonic() < deadline and (some := await self._purges.purge_some(repository, time.time())):
            gone += some
        return gone
