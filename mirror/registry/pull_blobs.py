"""Pulling blobs: from the file, from the one fill that is bringing it, or past a full disk from upstream.

A blob is served in a repository only where it belongs: it was pushed there, or the upstream gave it there or says that
it has it there. That a cached manifest names a digest is a claim: enough to fetch it, not to give away bytes that are
here for somebody else (RELIABILITY A7). The bytes are the same whatever the name, so they are fetched once.
"""

import time
from collections.abc import Callable
from typing import Final

from mirror import telemetry
from mirror.oci.digest import Digest
from mirror.oci.errors import BlobUnknown, RegistryError, StorageFull, UpstreamError, UpstreamUnavailable
from mirror.oci.names import Repository
from mirror.registry.absences import Absences
from mirror.registry.fill import Fill
from mirror.registry.fills import Fills
from mirror.registry.flights import Flights
from mirror.registry.pacing import TURN_S_MAX
from mirror.registry.passages import Passage, Passages
from mirror.registry.pulled import FillingBlob, OpenBlob, PassingBlob, PulledBlob, SmallBlob
from mirror.registry.repositories import Repositories
from mirror.registry.upstreams import Source, Upstreams
from mirror.store.entries import BlobEntry, Member
from mirror.store.store import Store
from mirror.upstream.throttle import Throttle

UNKNOWN_SIZE: Final = -1


Mender = Callable[[Digest], object]  # told of bytes of our own that are lost


class PullBlobs:
    """What blob GET and HEAD need."""

    def __init__(
        self,
        store: Store,
        repositories: Repositories,
        fills: Fills,
        upstreams: Upstreams,
        flights: Flights,
    ) -> None:
        self._guard = store.guard
        self._losses = store.losses
        self.menders: list[Mender] = []
        self._repositories = repositories
        self._files = store.files
        self._index = store.index
        self._catalog = store.catalog
        self._fills = fills
        self._upstreams = upstreams
        self._flights = flights
        self._passages = Passages()
        self._absences = Absences()
        self._answered: set[tuple[Repository, Digest]] = set()  # given by upstream a moment ago, not yet in the rows

    async def pull(self, repository: Repository, digest: Digest) -> PulledBlob:
        """Return where to read a blob. Raises BlobUnknown and UpstreamError."""
        return await self._pull(repository, digest, None)

    async def _pull(self, repository: Repository, digest: Digest, background: Throttle | None) -> PulledBlob:
        if self._fetch_proves(repository, digest):
            return await self._pull_unproven(self._upstreams.source(repository), digest, background)
        member = await self._proven(repository, digest)
        held = await self._held(digest)
        if held is not None:
            telemetry.pulled(repository.upstream, "blob", "hit")
            return held
        if repository.owned:
            fill = self._being_mended(repository, digest)
            size = await fill.headers()
            return FillingBlob(fill, size, Passage(self._passages, fill.source, digest, size))
        return await self._follow(self._upstreams.source(repository), digest, _size(member), background)

    async def _follow(
        self, source: Source, digest: Digest, size: int | None, background: Throttle | None
    ) -> FillingBlob | PassingBlob:
        """Follow the fill of a blob; what the disk has no room for is passed on to a client that waits for it."""
        try:
            fill = await self._fill(source, digest, size, background)
            known = await fill.headers()
        except StorageFull:
            if background is not None:
                raise
        else:
            return FillingBlob(fill, known, Passage(self._passages, fill.source, digest, known))
        known = await self._told_size(source, digest) if size is None else size
        telemetry.pulled(source.repository.upstream, "blob", "passed")
        return PassingBlob(Passage(self._passages, source, digest, known), known, source)

    async def _told_size(self, source: Source, digest: Digest) -> int:
        """Ask upstream for the size of a blob in bytes. Raises BlobUnknown, UpstreamError."""
        try:
            size = await source.head_blob(digest)
        except (UpstreamError, BlobUnknown) as error:
            raise source.told(error, blob=True) from None
        if size is None:
            raise UpstreamError(f"the disk is full, and {source.repository} does not say how large {digest} is")
        return size

    def _being_mended(self, repository: Repository, digest: Digest) -> Fill:
        """Return the fill that brings lost bytes of our own back. Raises BlobUnknown where there is none (yet)."""
        fill = self._fills.find(digest)
        if fill is None:
            for mend in self.menders:
                mend(digest)
            raise BlobUnknown(f"{repository} has lost the bytes of {digest}")
        return fill

    def _fetch_proves(self, repository: Repository, digest: Digest) -> bool:
        """Tell whether a blob that is not proven to belong here must be fetched anyway, from this very repository."""
        member = self._index.member(repository, digest)
        if repository.owned or (member is not None and member.proven) or self._index.blob(digest) is not None:
            return False
        fill = self._fills.find(digest)
        return fill is None or fill.source.repository == repository

    async def _pull_unproven(
        self, source: Source, digest: Digest, background: Throttle | None
    ) -> FillingBlob | PassingBlob:
        """Fetch a blob that only its upstream can say belongs there, and does by sending it. Raises BlobUnknown."""
        key = ("blob", source.repository, digest)
        self._absences.check(key)
        member = self._index.member(source.repository, digest)
        try:
            blob = await self._follow(source, digest, _size(member) if member else None, background)
        except BlobUnknown as error:
            self._absences.note(key, error)
            raise
        if isinstance(blob, FillingBlob) and blob.fill.source.repository == source.repository:
            # The client need not wait for the disk, nor the next one ask for what was just answered.
            self._answered.add((source.repository, digest))
            self._flights.launch(("link", *key), lambda: self._link_answered(source, digest, blob.size))
        return blob

    async def fetch(self, repository: Repository, digest: Digest, throttle: Throttle) -> None:
        """Bring a blob into the store that no client waits for, within a cap, and wait until it is there.

        Clients come first: it begins when none waits for a blob. Raises BlobUnknown, StorageFull and UpstreamError.
        """
        await self._fills.clients.gone(TURN_S_MAX)
        blob = await self._pull(repository, digest, throttle)
        blob.close()
        if isinstance(blob, FillingBlob):
            await blob.fill.ended()
            await self._flights.settled(("link", "blob", repository, digest))

    def arrived(self, digest: Digest) -> int:
        """Return how many bytes of a blob that is being fetched are here."""
        fill = self._fills.find(digest)
        return 0 if fill is None else fill.staged.front

    async def size(self, repository: Repository, digest: Digest) -> int:
        """Return the size of a blob in bytes without fetching it. Raises BlobUnknown and UpstreamError."""
        if repository.owned:
            await self._guard.free(digest)
        entry = await self._whole(digest)
        if entry is not None and repository.owned:
            # Who asks may be about to push an image that names it.
            self._guard.note(digest.key())
        member = await (self._linked if entry is None else self._proven)(repository, digest)
        if entry is not None:
            telemetry.pulled(repository.upstream, "blob", "hit")
            return entry.size
        if repository.owned:
            return await self._being_mended(repository, digest).headers()
        source = self._upstreams.source(repository)
        if member.size == UNKNOWN_SIZE:
            return (await self._follow(source, digest, None, None)).size
        if not source.upstream.reachable(time.monotonic()):
            raise UpstreamUnavailable(f"{digest} is not here and upstream {repository.upstream} does not answer")
        return member.size

    async def _linked(self, repository: Repository, digest: Digest) -> Member:
        """Return what a repository says of a blob, be it a claim. Raises BlobUnknown and UpstreamError."""
        member = self._index.member(repository, digest)
        return member if member is not None and member.linked else await self._prove(repository, digest)

    async def _proven(self, repository: Repository, digest: Digest) -> Member:
        """Return what a repository says of a blob that it has indeed. Raises BlobUnknown and UpstreamError."""
        member = self._index.member(repository, digest)
        if member is not None and member.proven:
            return member
        if (repository, digest) in self._answered:
            return member or Member("blob", "", UNKNOWN_SIZE, linked=True, proven=True)
        return await self._prove(repository, digest)

    async def _held(self, digest: Digest) -> SmallBlob | OpenBlob | None:
        """Return the bytes in the store. A file that is gone or short is noticed here, before any header is sent."""
        entry = self._index.blob(digest)
        if entry is None:
            return None
        if entry.data is not None:
            return SmallBlob(entry.data)
        fd = self._files.open_blob(digest, entry.size)
        if fd is None:
            await self._drop(digest, entry.size)
            return None
        return OpenBlob(fd, entry.size)

    async def _whole(self, digest: Digest) -> BlobEntry | None:
        """Return what is known of bytes that are in the store, and are looked for there."""
        entry = self._index.blob(digest)
        if entry is not None and entry.data is None and not self._files.has(digest, entry.size):
            await self._drop(digest, entry.size)
            return None
        return entry

    async def _drop(self, digest: Digest, size: int) -> None:
        telemetry.log.error("blob file is gone or short", digest=str(digest), size=size)
        await self._losses.drop(digest)

    async def _fill(self, source: Source, digest: Digest, size: int | None, background: Throttle | None) -> Fill:
        """Join the fill of a blob. One that another repository began and failed is begun again from ours."""
        fill = self._fills.join(digest, size, source, background)
        outcome: telemetry.Outcome = "joined" if fill.answered else "filled"
        try:
            await fill.headers()
        except (UpstreamError, BlobUnknown) as error:
            if fill.source.repository == source.repository:
                raise source.told(error, blob=True) from None
            return await self._fill(source, digest, size, background)
        telemetry.pulled(source.repository.upstream, "blob", outcome)
        return fill

    async def _prove(self, repository: Repository, digest: Digest) -> Member:
        """Ask upstream whether a blob belongs to the repository. Raises BlobUnknown."""
        if repository.owned:
            raise BlobUnknown(f"{repository} has no blob {digest}", detail={"digest": str(digest)})
        key = ("blob", repository, digest)
        self._absences.check(key)
        source = self._upstreams.source(repository)
        try:
            return await self._flights.join(key, lambda: self._ask(source, digest))
        except BlobUnknown as error:
            self._absences.note(key, error)
            raise
        except RegistryError as error:
            raise source.told(error, blob=True) from None

    async def _ask(self, source: Source, digest: Digest) -> Member:
        size = await source.head_blob(digest)
        known = UNKNOWN_SIZE if size is None else size
        try:
            await self._link(source, digest, known)
        except StorageFull:
            # Upstream has said that it is there; a full disk costs the next who asks a call.
            return Member("blob", "", known, linked=True, proven=True)
        member = self._index.member(source.repository, digest)
        assert member is not None
        return member

    async def _link_answered(self, source: Source, digest: Digest, size: int) -> None:
        try:
            await self._link(source, digest, size)
        finally:
            self._answered.discard((source.repository, digest))

    async def _link(self, source: Source, digest: Digest, size: int) -> None:
        await self._repositories.make(source.repository, "PULL_THROUGH_CACHE")
        await self._catalog.link_blob(source.repository, digest, size, "", time.time())


def _size(member: Member) -> int | None:
    return None if member.size == UNKNOWN_SIZE else member.size
