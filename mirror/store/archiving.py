"""Archiving: which bytes belong into the archive, and how each gets there and back while the node serves.

Source: issue section "Lifecycle policies"; ECR.md 2.9, "Archive". In the archive is a blob that manifests name and none
of them is ACTIVE, in any repository. Being wrong about that costs a copy and never a pull: a blob is here, and served,
from either place. So nothing waits for a move: a restore, a push or a mount has what it needs at once, and the bytes
come back behind it. The guard keeps a blob from being collected in the moment that its name changes.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import exists, select, tuple_

from mirror.oci.digest import Digest, parse_digest
from mirror.store import tables
from mirror.store.archive import Archive, Copy
from mirror.store.changelog import last_seq
from mirror.store.database import Database
from mirror.store.entries import INLINE_BYTES_MAX
from mirror.store.examination import PIECE_BYTES, Take
from mirror.store.files import Files
from mirror.store.guard import Guard
from mirror.store.index import Index
from mirror.store.rows import listed
from mirror.store.space import Space

IMAGES_MAX: Final = 100  # of one question


@dataclass(frozen=True, slots=True)
class Page:
    """The blobs of some archived images, and where the next page begins."""

    last: tuple[int, str]
    blobs: Sequence[Digest]


class Archiving:
    """What moving bytes asks and does. For one task: nobody else makes or removes what is in the archive."""

    def __init__(
        self, archive: Archive, files: Files, index: Index, database: Database, guard: Guard, space: Space
    ) -> None:
        self.archive = archive
        self._files = files
        self._index = index
        self._database = database
        self._guard = guard
        self._space = space

    async def seq(self) -> int:
        """Return the last change of the log."""
        return await last_seq(self._database)

    async def page(self, last: tuple[int, str] = (-1, "")) -> Page | None:
        """Return the blobs of some archived images behind `last`; None behind the last image.

        Small ones and manifests stay where they are: they are in the index as well, and would make no room.
        """
        image, child = tables.manifests.c, tables.manifest_children.c
        place = tuple_(image.repository_id, image.digest)
        images = select(image.repository_id, image.digest).where(image.status != "ACTIVE", place > last)
        images = images.order_by(image.repository_id, image.digest).limit(IMAGES_MAX)
        async with self._database.read() as connection:
            rows = (await connection.execute(images)).all()
            if not rows:
                return None
            end = rows[-1][0], rows[-1][1]
            its = tuple_(child.repository_id, child.manifest)
            blobs = (
                select(child.digest)
                .join(tables.manifests, (image.repository_id == child.repository_id) & (image.digest == child.manifest))
                .where(its > last, its <= end, image.status != "ACTIVE")
                .where(child.kind == "blob", child.size > INLINE_BYTES_MAX)
                .distinct()
            )
            found = (await connection.execute(blobs)).scalars().all()
        return Page(end, [parse_digest(text) for text in found])

    async def needed(self, digests: Sequence[Digest], now: float) -> set[Digest]:
        """Return which of some blobs an image needs that is not archived, or a push under way `now` (unix seconds)."""
        texts = listed(map(str, digests))
        link, child, image = tables.blob_links.c, tables.manifest_children.c, tables.manifests.c
        owner = (image.repository_id == child.repository_id) & (image.digest == child.manifest)
        named = select(child.digest).join(tables.manifests, owner)
        named = named.where(child.digest.in_(texts), image.status == "ACTIVE")
        itself = select(image.digest).where(image.digest.in_(texts))
        use = exists().where(child.repository_id == link.repository_id, child.digest == link.digest)
        young = select(link.digest).where(link.digest.in_(texts), link.linked_at >= now - self._guard.grace_s, ~use)
        async with self._database.read() as connection:
            found = (await connection.execute(named.union(itself, young))).scalars().all()
        return {parse_digest(text) for text in found}

    async def move_in(self, digest: Digest, take: Take) -> int:
        """Move a blob into the archive; return its bytes, 0 where it is there or not in the store. Raises as Copy."""
        copy = await asyncio.to_thread(self.archive.copy_in, digest)
        if copy is None or not await _run(copy, take):
            # Wrong bytes are the scrub's to find.
            return 0
        await asyncio.to_thread(self.archive.keep, copy)
        async with self._guard.hold(digest):
            is_moved = await asyncio.to_thread(self.archive.link, digest, copy.mark)
        self._space.look_again()
        return copy.size if is_moved else 0

    async def bring_back(self, digest: Digest, take: Take) -> int:
        """Move a blob back into the store; return its bytes, 0 where that cannot be done. Raises as Copy."""
        size = await asyncio.to_thread(self._files.size, digest)
        if size is None:
            return 0
        await self._space.take(size)
        copy = await asyncio.to_thread(self.archive.copy_out, digest)
        if copy is None or not await _run(copy, take):
            return 0
        async with self._guard.hold(digest):
            is_back = await asyncio.to_thread(self.archive.take_back, copy)
        await asyncio.to_thread(self.archive.remove, digest)
        return copy.size if is_back else 0

    async def settle(self, digests: Sequence[Digest]) -> list[Digest]:
        """Put right what the store says of some blobs of the archive; return those that it has nowhere else."""
        return await asyncio.to_thread(lambda: [digest for digest in digests if self._settle(digest)])

    def _settle(self, digest: Digest) -> bool:
        is_linked = self._files.is_linked(digest)
        is_here = self._files.size(digest) is not None
        if is_here and is_linked:
            return True
        if is_here or (not is_linked and self._index.blob(digest) is None):
            # It was pushed, brought back or collected.
            self.archive.remove(digest)
            return False
        # A power cut may leave a link without its text, on some filesystems.
        self.archive.mend(digest)
        return True


async def _run(copy: Copy, take: Take) -> bool:
    """Copy a file, piece by piece; tell whether it is safe and what its name says. It is dropped when not."""
    is_right = False
    try:
        await take(PIECE_BYTES)
        while await asyncio.to_thread(copy.go_on, PIECE_BYTES):
            await take(PIECE_BYTES)
        is_right = await asyncio.to_thread(copy.finish)
    finally:
        if not is_right:
            await asyncio.to_thread(copy.drop)
    return is_right
