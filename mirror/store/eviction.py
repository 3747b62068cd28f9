"""Eviction rows: cached images by when they were used last, and how they are let go. SQL only: pulls never come here.

What goes is an image of a cached repository: its manifest, its tags, and the links that only it needed there. Its blobs
are then the collection's, which removes those that nothing else names: no bytes are deleted here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import case, func, select, tuple_, union

from mirror.oci.digest import Digest, parse_digest
from mirror.oci.names import Repository, read_registry
from mirror.store import tables
from mirror.store.database import Database
from mirror.store.ledger import Entry, Ledger
from mirror.store.mutations import delete_manifest, unlink_blob
from mirror.store.unneeded import AT_ONCE, only_named_by, suspect

PAGE: Final = 500  # images looked at in one read


@dataclass(frozen=True, slots=True)
class Cached:
    """A cached image: its bytes with those of what it names, and when (unix seconds) it came or was pulled last."""

    repository: Repository
    digest: Digest
    size: int
    used_at: float

    @property
    def place(self) -> tuple[float, str]:
        """Where it stands in the order of the pages."""
        return self.used_at, str(self.digest)


class EvictionRows:
    """The cached images of all registries."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self._database = database
        self._ledger = ledger

    async def owned_bytes(self) -> int:
        """Count the bytes of blobs that repositories of our own name, each once."""
        link, image, owner = tables.blob_links.c, tables.manifests.c, tables.repositories.c
        ours = select(owner.id).where(owner.upstream == "")
        named = union(
            select(link.digest, link.size).where(link.repository_id.in_(ours)),
            select(image.digest, image.size).where(image.repository_id.in_(ours)),
        ).subquery()
        sizes = select(func.max(named.c.size).label("size")).group_by(named.c.digest).subquery()
        async with self._database.read() as connection:
            total = (await connection.execute(select(func.sum(sizes.c.size)))).scalar()
        return int(total or 0)

    async def page(self, before: float, last: tuple[float, str] = (-1.0, "")) -> list[Cached]:
        """List images behind the place `last` that nobody used since `before` (unix seconds), oldest first."""
        image, owner = tables.manifests.c, tables.repositories.c
        used_at = case((image.pulled_at > image.pushed_at, image.pulled_at), else_=image.pushed_at).label("used_at")
        chosen = (
            select(owner.registry, owner.upstream, owner.name, image.digest, image.image_size, used_at)
            .join_from(tables.manifests, tables.repositories)
            .where(owner.upstream != "", used_at < before, tuple_(used_at, image.digest) > last)
            .order_by(used_at, image.digest)
            .limit(PAGE)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(chosen)).all()
        return [
            Cached(Repository(read_registry(registry), upstream, name), parse_digest(digest), size, at)
            for registry, upstream, name, digest, size, at in rows
        ]

    async def evict(self, images: Sequence[Cached], at: float) -> list[Digest]:
        """Let some images (some dozen at most) go in one transaction; list the blobs that may be needed no more."""

        async def let_go(entry: Entry) -> list[Digest]:
            found = [await _evict(entry, image.repository, image.digest, at) for image in images]
            return list(dict.fromkeys(digest for digests in found for digest in digests))

        return await self._ledger.commit(let_go, frees=True)


async def _evict(entry: Entry, repository: Repository, digest: Digest, at: float) -> list[Digest]:
    """Delete an image and unlink what only it needed; return all of that, nothing when the image was gone."""
    await entry.write_links()
    repository_id = await entry.repository_id(repository)
    if repository_id is None:
        return []
    only = [parse_digest(one) for one in await only_named_by(entry.connection, repository_id, [str(digest)])]
    if not await delete_manifest(entry, repository, digest, at):
        return []
    for blob in only:
        await unlink_blob(entry, repository, blob, at)
    await suspect(entry, [digest, *only], AT_ONCE)
    return [digest, *only]
