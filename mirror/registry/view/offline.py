"""What is servable with no network: per image and platform, and what the rest lacks.

An image is servable when one of its platforms is whole, and its tag may still be served without having been checked
(`stale_max_s`). Page by page, for a registry has many images and others have their turns in between.
"""

import time
from collections.abc import Iterator
from math import inf
from typing import Final

import msgspec

from mirror.oci.names import Registry, Repository
from mirror.registry.prefetch import is_wanted
from mirror.registry.repositories import Repositories
from mirror.registry.view.named import is_glob, named_repositories
from mirror.registry.view.servable import Part, Servable
from mirror.rules.freshness import served_until
from mirror.rules.routing import Routing
from mirror.store.images import Image, Images
from mirror.store.index import Index

PAGE: Final = 200  # images looked at for one answer: some 20 ms of work

After = tuple[str, str, str]  # upstream and name of a repository, and the digest of the last image that was told


class OfflineImage(msgspec.Struct, frozen=True, rename="camel"):
    """An image by a name that clients pull it by. `reason` says why it is not servable.

    `until` (unix seconds) is when its tag is no longer served unless it was checked; None for never.
    """

    image: str
    digest: str
    servable: bool
    reason: str
    until: float | None
    parts: list[Part]


class OfflinePage(msgspec.Struct, frozen=True, rename="camel"):
    """Some images; `after` asks for what comes behind them, None at the end."""

    images: list[OfflineImage]
    after: After | None


class Offline:
    """Says what of a registry is servable with no network."""

    def __init__(
        self, index: Index, images: Images, repositories: Repositories, routing: Routing, servable: Servable
    ) -> None:
        self._index = index
        self._images = images
        self._repositories = repositories
        self._routing = routing
        self._servable = servable

    async def page(self, registry: Registry, name: str, platform: str, after: After | None) -> OfflinePage:
        """Look at the images of the repositories that `name` means ("" = all), of one platform where it is named.

        Raises NameInvalid, RepositoryNotFound.
        """
        found: list[OfflineImage] = []
        left = PAGE
        for repository, digest in self._behind(registry, name, after):
            while rows := await self._images.roots(repository, digest, left):
                for image in rows:
                    found += await self._look(repository, image, platform)
                left -= len(rows)
                digest = str(rows[-1].digest)  # noqa: PLW2901 - where this repository's next page begins
                if not left:
                    return OfflinePage(found, (repository.upstream, repository.name, digest))
        return OfflinePage(found, None)

    def _behind(self, registry: Registry, name: str, after: After | None) -> Iterator[tuple[Repository, str]]:
        """List the repositories that are still to be looked at, and behind which digest."""
        last = Repository(registry, *after[:2]) if after is not None else None
        if after is not None and last is not None:
            yield last, after[2]
        if last is None or is_glob(name):
            for repository in named_repositories(self._repositories, registry, name, last):
                yield repository, ""

    async def _look(self, repository: Repository, image: Image, platform: str) -> list[OfflineImage]:
        if image.status != "ACTIVE":
            return []
        parts = await self._servable.parts(repository, image.digest)
        if platform:
            parts = [part for part in parts if is_wanted(part.platform, (platform,))]
        name = self._repositories.name(repository)
        if not image.tags:
            return [self._told(f"{name}@{image.digest}", image, parts, None, self._fault(repository, parts, platform))]
        return [self._tagged(repository, f"{name}:{tag}", tag, image, parts, platform) for tag in image.tags]

    def _tagged(
        self, repository: Repository, name: str, tag: str, image: Image, parts: list[Part], platform: str
    ) -> OfflineImage:
        until = self._until(repository, tag)
        fault = self._fault(repository, parts, platform)
        if not fault and until is not None and until <= time.time():
            fault = "not checked for too long"
        return self._told(name, image, parts, until, fault)

    def _told(self, name: str, image: Image, parts: list[Part], until: float | None, fault: str) -> OfflineImage:
        return OfflineImage(name, str(image.digest), not fault, fault, until, parts)

    def _fault(self, repository: Repository, parts: list[Part], platform: str) -> str:
        if not repository.owned and self._routing.rule(repository) is None:
            return f"upstream {repository.upstream} is not configured"
        if any(part.is_whole for part in parts):
            return ""
        if parts:
            return "not all of it is here"
        return f"it has no {platform}" if platform else "it has no platform"

    def _until(self, repository: Repository, tag: str) -> float | None:
        rule, entry = self._routing.rule(repository), self._index.tag(repository, tag)
        if rule is None or entry is None or self._repositories.freezes(repository, tag):
            return None
        until = served_until(rule, tag, entry.checked_at)
        return None if until == inf else until
