"""How much a repository is used: pulls, images, bytes, and which images were pulled last."""

from typing import Final

import msgspec

from mirror.oci.names import Registry
from mirror.registry.pull_times import PullTimes
from mirror.registry.repositories import Repositories
from mirror.registry.view.named import named_repository
from mirror.store.images import Images

LATEST: Final = 10  # images of one answer


class PulledImage(msgspec.Struct, frozen=True, rename="camel"):
    """An image and when it was pulled last (unix seconds)."""

    digest: str
    tags: list[str]
    pulled_at: float


class RepositoryUsage(msgspec.Struct, frozen=True, rename="camel"):
    """How much a repository is used. `latest` are the images that were pulled last, newest first."""

    repository: str
    pulls: int
    pulled_at: float | None
    pushed_at: float | None
    images: int
    tags: int
    blobs: int
    bytes: int
    latest: list[PulledImage]


class Usages:
    """Says how much repositories are used."""

    def __init__(self, images: Images, pull_times: PullTimes, repositories: Repositories) -> None:
        self._images = images
        self._pull_times = pull_times
        self._repositories = repositories

    async def tell(self, registry: Registry, name: str) -> RepositoryUsage:
        """Say how much a repository is used. Raises NameInvalid, RepositoryNotFound."""
        repository = named_repository(self._repositories, registry, name)
        # What is known in memory alone goes first, so that one read tells all.
        await self._pull_times.write()
        await self._pull_times.write_counts()
        usage = await self._images.usage(repository)
        latest = await self._images.pulled_last(repository, LATEST)
        return RepositoryUsage(
            repository=self._repositories.name(repository),
            pulls=usage.pulls,
            pulled_at=usage.pulled_at,
            pushed_at=usage.pushed_at,
            images=usage.images,
            tags=usage.tags,
            blobs=usage.blobs,
            bytes=usage.size,
            latest=[PulledImage(str(one.digest), [*one.tags], one.pulled_at or 0.0) for one in latest],
        )
