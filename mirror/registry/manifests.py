"""Keeping manifests: bytes to a file, rows to SQL, then the index; and whether all they need is here."""

import asyncio
import time
from collections.abc import Collection
from typing import Final

from mirror.oci.digest import Digest
from mirror.oci.manifest import Manifest, parse_manifest
from mirror.oci.names import Repository
from mirror.store.catalog import Catalog
from mirror.store.entries import Member
from mirror.store.files import Files
from mirror.store.guard import Guard
from mirror.store.index import Index

THREAD_BYTES_MIN: Final = 256 * 1024  # parsing this much JSON would hold the loop for milliseconds
NESTING_MAX: Final = 4  # an index of indexes of indexes is still followed


async def read_manifest(data: bytes, content_type: str = "") -> Manifest:
    """Parse a manifest off the loop when it is large. Raises as `parse_manifest` does."""
    if len(data) < THREAD_BYTES_MIN:
        return parse_manifest(data, content_type)
    return await asyncio.to_thread(parse_manifest, data, content_type)


class Manifests:
    """The manifests of this node's store."""

    def __init__(self, files: Files, index: Index, catalog: Catalog, guard: Guard) -> None:
        self._guard = guard
        self._files = files
        self._index = index
        self._catalog = catalog

    async def keep(  # noqa: PLR0913 - what a manifest is, and what it is called
        self,
        repository: Repository,
        digest: Digest,
        data: bytes,
        manifest: Manifest,
        *,
        tags: tuple[str, ...] = (),
        whole: bool = False,
        new_only: Collection[str] = (),
        parts: Collection[Digest] = (),
        origin: str = "",
    ) -> None:
        """Store a manifest, whose digest the caller has checked, and its tags. Then it survives a power cut.

        Raises TagTaken when one of `new_only` is there already, PartsGone when one of `parts` has no bytes here.
        """
        async with self._guard.hold(digest):
            await asyncio.to_thread(self._files.write, digest, data)
            await self._catalog.put_manifest(
                repository,
                digest,
                manifest,
                len(data),
                tags,
                time.time(),
                whole=whole,
                body=data,
                new_only=new_only,
                parts=parts,
                origin=origin,
            )

    async def read(self, repository: Repository, digest: Digest) -> tuple[Member, bytes] | None:
        """Return a manifest of `repository` and its bytes; None when the repository has none by that digest."""
        member = self._index.member(repository, digest)
        if member is None or member.kind != "manifest" or member.archived:
            return None
        data = await self.read_bytes(digest)
        return None if data is None else (member, data)

    async def read_bytes(self, digest: Digest) -> bytes | None:
        """Return the bytes of a small stored object, from the index or, above its limit, from the file.

        A file of others is none: who fetches the object writes it anew, and the scrub finds the rest.
        """
        entry = self._index.blob(digest)
        if entry is None or entry.data is not None:
            return entry.data if entry else None
        return await asyncio.to_thread(self._files.read_right, digest)

    async def complete(self, repository: Repository, data: bytes, media_type: str, depth: int = NESTING_MAX) -> bool:
        """Tell whether a client can pull this manifest from the store alone; an index: at least one of its children."""
        manifest = await read_manifest(data, media_type)
        if not manifest.manifests:
            return all(self._index.serves(repository, blob.digest) for blob in manifest.needed)
        for child in manifest.manifests:
            found = await self.read(repository, child.digest)
            if found is None or depth == 0:
                continue
            member, child_data = found
            if member.whole or await self.complete(repository, child_data, member.media_type, depth - 1):
                return True
        return False
