"""Pulling blobs: from the file, or from the one fill that is bringing it.

A blob is served in a repository only where it belongs: it was pushed there, or the upstream gave it there or says that
it has it there. That a cached manifest names a digest is a claim: enough to fetch it, not to give away bytes that are
here for somebody else (RELIABILITY A7). The bytes are the same whatever the name, so they are fetched once.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mirror import telemetry
from mirror.oci.digest import Digest
from mirror.oci.errors import BlobUnknown, RegistryError, UpstreamError, UpstreamUnavailable
from mirror.oci.names import Repository
from mirror.registry.absences import Absences
from mirror.registry.fill import Fill
from mirror.registry.fills import Fills
from mirror.registry.flights import Flights
from mirror.registry.pacing import TURN_S_MAX
from mirror.registry.repositories import Repositories
from mirror.registry.upstreams import Source, Upstreams
from mirror.store.entries import BlobEntry, Member
from mirror.store.store import Store
from mirror.upstream.throttle import Throttle

UNKNOWN_SIZE: Final = -1


@dataclass(frozen=True, slots=True)
class SmallBlob:
    """A blob whose bytes are in the index."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True, slots=True)
class OpenBlob:
    """A blob in a file: the receiver owns `fd` and closes it."""

    fd: int
    size: int

    def close(self) -> None:
        os.close(self.fd)


@dataclass(frozen=True, slots=True)
class FillingBlob:
    """A blob on its way: the receiver follows `fill`."""

    fill: Fill
    size: int

    def close(self) -> None:
        """The fill goes on by itself."""


PulledBlob = SmallBlob | OpenBlob | FillingBlob
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
        else:
            fill = await self._fill(self._upstreams.source(repository), digest, _size(member), background)
        return FillingBlob(fill, await fill.headers())

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

    async def _pull_unproven(self, source: Source, digest: Digest, background: Throttle | None) -> FillingBlob:
        """Fetch a blob that only its upstream can say belongs there, and does by sending it. Raises BlobUnknown."""
        key = ("blob", source.repository, digest)
        self._absences.check(key)
        member = self._index.member(source.repository, digest)
        try:
            fill = await self._fill(source, digest, _size(member) if member else None, background)
        except BlobUnknown as error:
            self._absences.note(key, error)
            raise
        size = await fill.headers()
        if fill.source.repository == source.repository:
            # The client need not wait for the disk, nor the next one ask for what was just answered.
            self._answered.add((source.repository, digest))
            self._flights.launch(("link", *key), lambda: self._link_answered(source, digest, size))
        return FillingBlob(fill, size)

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
            return await (await self._fill(source, digest, None, None)).headers()
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
        if member is not None and (member.proven or (repository, digest) in self._answered):
            return member
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
        await self._link(source, digest, UNKNOWN_SIZE if size is None else size)
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
