"""Pulling blobs: from the file, or from the one fill that is bringing it.

A blob is served in a repository only where it belongs: a manifest of that repository names it, it was pushed there, or
the upstream says it has it there. The bytes are the same whatever the name, so they are fetched once.
"""

import os
import time
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
from mirror.registry.upstreams import Source, Upstreams
from mirror.store.catalog import Catalog
from mirror.store.entries import Member
from mirror.store.files import Files
from mirror.store.index import Index

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


class PullBlobs:
    """What blob GET and HEAD need."""

    def __init__(
        self, files: Files, index: Index, catalog: Catalog, fills: Fills, upstreams: Upstreams, flights: Flights
    ) -> None:
        self._files = files
        self._index = index
        self._catalog = catalog
        self._fills = fills
        self._upstreams = upstreams
        self._flights = flights
        self._absences = Absences()

    async def pull(self, repository: Repository, digest: Digest) -> PulledBlob:
        """Return where to read a blob. Raises BlobUnknown and UpstreamError."""
        if self._fetch_proves(repository, digest):
            return await self._pull_unnamed(self._upstreams.source(repository), digest)
        member = await self._member(repository, digest)
        held = await self._held(digest)
        if held is not None:
            telemetry.pulled(repository.upstream, "blob", "hit")
            return held
        if repository.owned:
            raise BlobUnknown(f"{repository} has lost the bytes of {digest}")
        fill = await self._fill(self._upstreams.source(repository), digest, _size(member))
        return FillingBlob(fill, await fill.headers())

    def _fetch_proves(self, repository: Repository, digest: Digest) -> bool:
        """Tell whether a blob that no manifest here names must be fetched anyway, from this very repository."""
        member = self._index.member(repository, digest)
        if repository.owned or (member is not None and member.linked) or self._index.blob(digest) is not None:
            return False
        fill = self._fills.find(digest)
        return fill is None or fill.source.repository == repository

    async def _pull_unnamed(self, source: Source, digest: Digest) -> FillingBlob:
        """Fetch a blob that only its upstream can say belongs there, and does by sending it. Raises BlobUnknown."""
        key = ("blob", source.repository, digest)
        self._absences.check(key)
        try:
            fill = await self._fill(source, digest, None)
        except BlobUnknown as error:
            self._absences.note(key, error)
            raise
        size = await fill.headers()
        # The client need not wait for the disk; one that comes before this is done asks upstream for a proof.
        self._flights.launch(("link", *key), lambda: self._link(source, digest, size))
        return FillingBlob(fill, size)

    async def fetch(self, repository: Repository, digest: Digest) -> None:
        """Bring a blob into the store and wait until it is there. Raises BlobUnknown and UpstreamError."""
        blob = await self.pull(repository, digest)
        blob.close()
        if isinstance(blob, FillingBlob):
            with blob.fill as fill:
                await fill.readable(max(0, blob.size - 1))

    async def size(self, repository: Repository, digest: Digest) -> int:
        """Return the size of a blob in bytes without fetching it. Raises BlobUnknown and UpstreamError."""
        member = await self._member(repository, digest)
        entry = self._index.blob(digest)
        if entry is not None:
            telemetry.pulled(repository.upstream, "blob", "hit")
            return entry.size
        if repository.owned:
            raise BlobUnknown(f"{repository} has lost the bytes of {digest}")
        source = self._upstreams.source(repository)
        if member.size == UNKNOWN_SIZE:
            return await (await self._fill(source, digest, None)).headers()
        if not source.upstream.reachable(time.monotonic()):
            raise UpstreamUnavailable(f"{digest} is not here and upstream {repository.upstream} does not answer")
        return member.size

    async def _member(self, repository: Repository, digest: Digest) -> Member:
        member = self._index.member(repository, digest)
        if member is not None and member.linked:
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
            telemetry.log.error("blob file is gone or short", digest=str(digest), size=entry.size)
            await self._index.drop_blob(digest)
            return None
        return OpenBlob(fd, entry.size)

    async def _fill(self, source: Source, digest: Digest, size: int | None) -> Fill:
        """Join the fill of a blob. One that another repository began and failed is begun again from ours."""
        fill = self._fills.join(digest, size, source)
        outcome: telemetry.Outcome = "joined" if fill.answered else "filled"
        try:
            await fill.headers()
        except (UpstreamError, BlobUnknown) as error:
            if fill.source.repository == source.repository:
                raise source.told(error, blob=True) from None
            return await self._fill(source, digest, size)
        telemetry.pulled(source.repository.upstream, "blob", outcome)
        return fill

    async def _prove(self, repository: Repository, digest: Digest) -> Member:
        """Ask upstream whether a blob that no manifest here names belongs to the repository. Raises BlobUnknown."""
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

    async def _link(self, source: Source, digest: Digest, size: int) -> None:
        await self._catalog.link_blob(source.repository, digest, size, "", time.time())


def _size(member: Member) -> int | None:
    return None if member.size == UNKNOWN_SIZE else member.size
