"""What is done with parts of images that are not here: they are fetched, or only looked at.

Fetching goes the way of a client's pull: one flight, one fill, one budget for all, but in the background.
"""

import asyncio
import time
from typing import Final, Protocol

from mirror.oci.digest import Digest, digest_of
from mirror.oci.manifest import Descriptor
from mirror.registry.manifests import Manifests
from mirror.registry.pull import PullManifests
from mirror.registry.pull_blobs import PullBlobs
from mirror.registry.upstreams import Source
from mirror.rules.freshness import Need
from mirror.store.catalog import Catalog
from mirror.upstream.throttle import Throttle

BLOBS_MAX: Final = 8  # under way at once, of all runs: an upstream's places for bodies are for clients

Body = tuple[str, bytes]  # a manifest's media type, "" where only the manifest itself says it, and its bytes


class Hand(Protocol):
    """Deals with what is not here. Everything raises UpstreamError and its kin."""

    async def named(self, source: Source, tag: str) -> Digest:
        """Find out what a tag means where a HEAD does not say. Raises ManifestUnknown."""

    async def manifest(self, source: Source, digest: Digest) -> Body:
        """Return a manifest. Raises ManifestUnknown."""

    async def blob(self, source: Source, blob: Descriptor) -> None:
        """Deal with a blob. Raises BlobUnknown."""

    async def tag(self, source: Source, tag: str, digest: Digest) -> None:
        """Let a tag mean a manifest, all of whose parts were dealt with."""

    async def untag(self, source: Source, tag: str) -> None:
        """Deal with a tag that upstream has no more."""


class Keeping:
    """Fetches into the store, within a cap."""

    def __init__(
        self,
        manifests: PullManifests,
        blobs: PullBlobs,
        catalog: Catalog,
        throttle: Throttle,
        places: asyncio.Semaphore,
    ) -> None:
        self._manifests = manifests
        self._blobs = blobs
        self._catalog = catalog
        self._throttle = throttle
        self._places = places
        self._fetching: set[Digest] = set()

    async def named(self, source: Source, tag: str) -> Digest:
        return await self._manifests.fetch(source.repository, tag)

    async def manifest(self, source: Source, digest: Digest) -> Body:
        pulled = await self._manifests.pull(source.repository, digest)
        return pulled.media_type, pulled.data

    async def blob(self, source: Source, blob: Descriptor) -> None:
        async with self._places:
            self._fetching.add(blob.digest)
            try:
                await self._blobs.fetch(source.repository, blob.digest, self._throttle)
            finally:
                self._fetching.discard(blob.digest)

    async def tag(self, source: Source, tag: str, digest: Digest) -> None:
        await self._manifests.settle(source.repository, tag, digest)

    async def untag(self, source: Source, tag: str) -> None:
        await self._catalog.delete_tag(source.repository, tag, time.time())

    def under_way(self) -> int:
        """Return how many bytes of the blobs that are being fetched are here."""
        return sum(map(self._blobs.arrived, self._fetching))


class Looking:
    """Keeps nothing: manifests are read into memory, blobs and tags let alone."""

    def __init__(self, kept: Manifests) -> None:
        self._kept = kept

    async def named(self, source: Source, tag: str) -> Digest:
        fetched = await source.upstream.get_manifest(source.name, tag, Need.REVALIDATION)
        named = fetched.digest
        return named if named is not None else await asyncio.to_thread(digest_of, fetched.data)

    async def manifest(self, source: Source, digest: Digest) -> Body:
        data = await self._kept.read_bytes(digest)
        if data is not None:
            return "", data
        fetched = await source.upstream.get_manifest(source.name, digest, Need.REVALIDATION)
        return fetched.media_type, fetched.data

    async def blob(self, source: Source, blob: Descriptor) -> None:
        """Leave it where it is."""

    async def tag(self, source: Source, tag: str, digest: Digest) -> None:
        """Leave it as it is."""

    async def untag(self, source: Source, tag: str) -> None:
        """Leave it here."""
