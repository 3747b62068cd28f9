"""The walk over one image: its manifests, its blobs, and what refers to it. What is here costs no call.

A tag is moved when all parts of what it means are here, so whoever pulls it meanwhile, or offline, gets a whole image.
"""

import asyncio
from collections.abc import AsyncIterator, Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from mirror.oci.digest import Digest, parse_digest
from mirror.oci.errors import DigestInvalid, ManifestInvalid, ManifestUnknown, UpstreamError
from mirror.oci.manifest import Descriptor
from mirror.oci.names import Reference, Repository
from mirror.registry.discovery import Discovery
from mirror.registry.manifests import NESTING_MAX, Manifests, read_manifest
from mirror.registry.pull import PullManifests
from mirror.registry.pull_blobs import PullBlobs
from mirror.registry.syncing.children import wanted_children
from mirror.registry.syncing.hands import Body, Hand
from mirror.registry.syncing.heads import Head
from mirror.registry.syncing.tally import State, Tally
from mirror.registry.upstreams import Source
from mirror.rules.freshness import Need
from mirror.rules.syncing import COSIGN, SyncRule
from mirror.store.catalog import Catalog
from mirror.store.index import Index

BLOBS_AT_ONCE: Final = 3  # of one image
REFERRERS_DEPTH_MAX: Final = 2  # what refers to an image, and what refers to that: an SBOM's signature
REFERRERS_MAX: Final = 1_000  # of one image and all its parts
WALKED_MAX: Final = 100_000  # images remembered of one run: several tags are often one image


@dataclass(frozen=True, slots=True)
class Shelf:
    """What is here, and the ways by which more comes."""

    index: Index
    catalog: Catalog
    kept: Manifests
    manifests: PullManifests
    blobs: PullBlobs
    discovery: Discovery


class Walk:
    """Goes over the images of one run; `hand` deals with what is not here."""

    def __init__(self, rule: SyncRule, shelf: Shelf, hand: Hand, tally: Tally) -> None:
        self._rule = rule
        self._shelf = shelf
        self._hand = hand
        self._tally = tally
        self._walked: set[tuple[Repository, Digest]] = set()
        self._counted: set[Digest] = set()
        self._missing = 0  # parts that were not here, of all images so far
        self._referrers_left = 0

    async def image(self, source: Source, reference: Reference, tags: Container[str], head: Head | None) -> State:
        """Go over one image; `tags` are those that upstream lists, `head` what was asked. Say what there was to do.

        Raises ManifestUnknown, BlobUnknown, StorageFull, UpstreamError.
        """
        missing = self._missing
        state, digest = await self._root(source, reference, head)
        if (source.repository, digest) not in self._walked:
            self._referrers_left = REFERRERS_MAX
            subjects = await self._tree(source, digest)
            await self._settle(source, reference, digest)
            if self._rule.referrers:
                await self._refer(source, subjects, tags, REFERRERS_DEPTH_MAX)
            self._remember(source, digest)
        else:
            await self._settle(source, reference, digest)
        return "parts" if state == "same" and self._missing > missing else state

    def _remember(self, source: Source, digest: Digest) -> None:
        if len(self._walked) < WALKED_MAX:
            self._walked.add((source.repository, digest))

    async def _root(self, source: Source, reference: Reference, head: Head | None = None) -> tuple[State, Digest]:
        """Return what an image is now, and whether that is here as such."""
        index, repository = self._shelf.index, source.repository
        if isinstance(reference, Digest):
            return "same" if index.member(repository, reference) else "new", reference
        digest = self._shelf.manifests.fixed(repository, reference)
        if digest is not None:
            return "same", digest
        digest = await asyncio.shield(head or self._shelf.manifests.ask(repository, reference))
        if digest is None:
            digest = await self._hand.named(source, reference)
        entry = index.tag(repository, reference)
        if entry is None:
            return "new", digest
        return "same" if entry.digest == digest else "changed", digest

    async def _settle(self, source: Source, reference: Reference, digest: Digest) -> None:
        if not isinstance(reference, Digest) and self._shelf.manifests.fixed(source.repository, reference) is None:
            await self._hand.tag(source, reference, digest)

    # Manifests and blobs.

    async def _tree(self, source: Source, digest: Digest, depth: int = NESTING_MAX) -> list[Digest]:
        """Go over a manifest and all below it; return it and the children that are wanted."""
        media_type, data = await self._manifest(source, digest)
        try:
            manifest = await read_manifest(data, media_type)
        except ManifestInvalid as error:
            raise UpstreamError(f"{source.repository}@{digest} cannot be read: {error.message}") from None
        await self._blobs(source, manifest.needed)
        subjects = [digest]
        children = wanted_children(self._rule, manifest, data)
        if manifest.manifests and not children:
            raise ManifestUnknown(f"{source.repository}@{digest} has no image for {' or '.join(self._rule.platforms)}")
        for child in children:
            if depth == 0:
                raise UpstreamError(f"{source.repository}@{digest} is an index of indexes of indexes, and so on")
            subjects += await self._tree(source, child.digest, depth - 1)
        return subjects

    async def _manifest(self, source: Source, digest: Digest) -> Body:
        found = await self._shelf.kept.read(source.repository, digest)
        if found is not None:
            return found[0].media_type, found[1]
        self._missing += 1
        # Fetched as what a client waits for would be, so the last calls that upstream grants are spared here.
        source.upstream.check_budget(Need.REVALIDATION)
        return await self._hand.manifest(source, digest)

    async def _blobs(self, source: Source, blobs: Iterable[Descriptor]) -> None:
        """Deal with the blobs that are not here, a few at once. All are tried; raises what went wrong first."""
        absent = {blob.digest: blob for blob in blobs if not self._shelf.index.serves(source.repository, blob.digest)}
        self._missing += len(absent)
        pending = iter([(blob, self._count(blob)) for blob in absent.values()])

        async def work() -> None:
            for blob, size in pending:
                await self._hand.blob(source, blob)
                self._tally.moved(size)

        results = await asyncio.gather(*(work() for _ in range(BLOBS_AT_ONCE)), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def _count(self, blob: Descriptor) -> int:
        """Return how many bytes of a blob are to come: none of one that is here for others, or counted before."""
        if blob.digest in self._counted or self._shelf.index.blob(blob.digest) is not None:
            return 0
        self._counted.add(blob.digest)
        self._tally.wanted(blob.size)
        return blob.size

    # What refers to an image.

    async def _refer(self, source: Source, subjects: Sequence[Digest], tags: Container[str], depth: int) -> None:
        for subject in subjects:
            async for digest in self._referring(source, subject, tags):
                self._referrers_left -= 1
                if self._referrers_left < 0:
                    raise UpstreamError(f"{source.repository}: more than {REFERRERS_MAX} referrers of one image")
                if (source.repository, digest) in self._walked:
                    continue
                found = await self._tree(source, digest)
                if depth > 1:
                    await self._refer(source, found, tags, depth - 1)
                self._remember(source, digest)

    async def _referring(self, source: Source, subject: Digest, tags: Container[str]) -> AsyncIterator[Digest]:
        """Yield what refers to a manifest: by the referrers API, and by the tags that cosign makes."""
        for descriptor in await self._shelf.discovery.referrers_now(source.repository, subject):
            try:
                yield parse_digest(str(descriptor.get("digest")))
            except DigestInvalid as error:
                raise UpstreamError(f"{source.repository}: a referrer's digest cannot be read") from error
        for kind in COSIGN:
            tag = f"{subject.algorithm}-{subject.hex}.{kind}"
            if tag in tags:
                _, digest = await self._root(source, tag)
                yield digest
                await self._settle(source, tag, digest)
