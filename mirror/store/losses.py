"""Losses: what becomes of bytes that are gone or wrong. They are never served again, and never deleted unseen.

Source: RELIABILITY section 4, "Bit rot", "Deleted / truncated file under index". What this disk has twice it mends; of
the rest the entry goes first, so that it is a miss, then the file goes to the quarantine. An image of an upstream's
that a lost blob is needed for is not whole any more: it is given only while its upstream answers.
"""

import asyncio

from mirror import telemetry
from mirror.oci.digest import Digest, digest_of
from mirror.store.examination import Fault, missing
from mirror.store.files import Files
from mirror.store.guard import Guard
from mirror.store.holders import Holders
from mirror.store.index import Index
from mirror.store.quarantine import Quarantine


class Losses:
    """The losses of one store."""

    def __init__(self, files: Files, index: Index, holders: Holders, guard: Guard) -> None:
        self._guard = guard
        self._files = files
        self._index = index
        self._holders = holders
        self._quarantine = Quarantine(files)

    async def drop(self, digest: Digest) -> None:
        """Make a miss of bytes whose file is gone or short. A short one is not left for anybody to find."""
        for fault in await missing(self._files, self._index, [digest]):
            await self.repair(fault)

    async def repair(self, fault: Fault) -> bool:
        """Do what can be done here about a fault; tell whether the right bytes are here now.

        Raises StorageFull, Unavailable and OSError.
        """
        telemetry.DAMAGE_FOUND.labels(fault.kind).inc()
        telemetry.log.warning("damage found", digest=str(fault.digest), fault=fault.kind)
        async with self._guard.hold(fault.digest):
            await self._repair(fault)
        return self._index.blob(fault.digest) is not None

    async def _repair(self, fault: Fault) -> None:
        digest = fault.digest
        if fault.kind == "file without entry":
            await self._index.write(lambda index: index.find_blob(digest, self._files.entry))
        elif fault.kind == "wrong inline bytes":
            await self._index.write(lambda index: index.renew_blob(digest, self._files.entry))
        elif not await self._rewrite(digest):
            await self._set_aside(fault)
            await self._take_back(digest)

    async def _rewrite(self, digest: Digest) -> bool:
        """Write a small blob's file anew, of the bytes in the index where those are right."""
        entry = self._index.blob(digest)
        data = entry.data if entry is not None else None
        if data is None or digest_of(data, digest.algorithm) != digest:
            return False
        await asyncio.to_thread(self._quarantine.copy, digest)
        await asyncio.to_thread(self._files.write, digest, data)
        return True

    async def _set_aside(self, fault: Fault) -> None:
        digest = fault.digest
        if fault.mark is None:
            await self._index.drop_lost_blob(digest, self._files.entry)
            return
        await self._index.drop_blob(digest)
        if not await asyncio.to_thread(self._quarantine.take, digest, fault.mark):
            # Somebody has published the blob since: those bytes were verified as they came.
            await self._index.write(lambda index: index.find_blob(digest, self._files.entry))

    async def _take_back(self, digest: Digest) -> None:
        """Say of the images that need a blob that they are not whole, unless it is here again already."""
        if self._index.blob(digest) is not None:
            return
        async for images in self._holders.whole_with(digest):
            await self._index.take_back_whole(images)
