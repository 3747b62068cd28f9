"""Archiving: bytes that only archived images need are moved to the archive's disk, and back when they are needed again.

Source: issue section "Lifecycle policies". A restore does not wait for it: what is in the archive is served from there.
It looks at everything each time, and so puts right what a crash has left.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from itertools import islice
from typing import Final, Literal

from mirror import telemetry
from mirror.jobs.rounds import told
from mirror.oci.errors import StorageFull
from mirror.registry.pacing import PAUSE_S_MAX, Clients
from mirror.store.archiving import Archiving

LOOK_EVERY_S: Final = 60.0  # whether the disk is there, and whether anything has changed
WALK_EVERY_S: Final = 86_400.0  # although nothing has: a disk that is left alone may rest
ROUND_S_MAX: Final = 1_200.0  # in either direction: who waits for room, or looks at the job, is not kept for a day
PAGE_MAX: Final = 500  # blobs of one question
PAGE_PAUSE_S: Final = 0.05  # a million blobs take some minutes


@dataclass(frozen=True, slots=True)
class Moved:
    """What a round did: bytes put into the archive and brought back, and whether room or time were too short."""

    put: int = 0
    brought: int = 0
    is_full: bool = False
    is_late: bool = False


class Archivist:
    """Moves bytes for ever. `clients` come first; `clock` in unix seconds; `page_pause_s` is shorter in tests."""

    def __init__(
        self,
        archiving: Archiving,
        clients: Clients,
        clock: Callable[[], float] = time.time,
        page_pause_s: float = PAGE_PAUSE_S,
    ) -> None:
        self._archiving = archiving
        self._archive = archiving.archive
        self._clients = clients
        self._clock = clock
        self._page_pause_s = page_pause_s
        self._is_clear = False
        self._done = -1  # the last change when all was moved that was to be moved
        self._done_at = 0.0

    async def run(self) -> None:
        """Move what is to be moved every LOOK_EVERY_S, as long as there is an archive or should be one."""
        while await asyncio.to_thread(lambda: self._archive.is_wanted):
            await told("archive", self.look(), LOOK_EVERY_S)
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> bool:
        """Do what is to be done, if anything may be; tell whether nothing keeps it from that."""
        is_here = await asyncio.to_thread(self._archive.attach)
        free, size = await asyncio.to_thread(self._archive.room)
        telemetry.ARCHIVE_AWAY.set(not is_here)
        telemetry.ARCHIVE_FREE.set(free)
        telemetry.ARCHIVE_SIZE.set(size)
        seq, now = await self._archiving.seq(), self._clock()
        if is_here and (seq != self._done or now - self._done_at > WALK_EVERY_S):
            moved = await self.work()
            if moved.is_full:
                return False
            if not moved.is_late:
                self._done, self._done_at = seq, now
        return is_here

    async def work(self) -> Moved:
        """Do once what `run` does; return what was moved. Nothing is when the archive is not there.

        Raises Unavailable and OSError.
        """
        if not await asyncio.to_thread(self._archive.attach):
            return Moved()
        if not self._is_clear:
            await asyncio.to_thread(self._archive.clear)
            self._is_clear = True
        # Each of the two makes room for the other.
        put = await self._move(self._put_away(), "in")
        brought = await self._move(self._look_at_archive(), "out")
        moved = Moved(put.put, brought.brought, put.is_full or brought.is_full, put.is_late or brought.is_late)
        if moved.put or moved.brought:
            telemetry.log.info("bytes moved", archived=moved.put, restored=moved.brought)
        if self._archive.root is None and await asyncio.to_thread(lambda: next(self._archive.scan(), None)) is None:
            await asyncio.to_thread(self._archive.close)
        return moved

    async def _move(self, sizes: AsyncGenerator[int], direction: Literal["in", "out"]) -> Moved:
        """Count the bytes that are moved, until there is no room for more, or no time."""
        total, is_full, is_late, until = 0, False, False, time.monotonic() + ROUND_S_MAX
        async with aclosing(sizes):
            try:
                async for size in sizes:
                    telemetry.ARCHIVE_MOVED.labels(direction).inc(size)
                    total += size
                    is_late = time.monotonic() > until
                    if is_late:
                        break
            except StorageFull as error:
                is_full = True
                telemetry.log.warning("bytes not moved", reason=str(error))
        put, brought = (total, 0) if direction == "in" else (0, total)
        return Moved(put, brought, is_full, is_late)

    async def _put_away(self) -> AsyncGenerator[int]:
        """Move what belongs into the archive; yield the bytes of each blob."""
        page = await self._archiving.page() if self._archive.root is not None else None
        while page is not None:
            for start in range(0, len(page.blobs), PAGE_MAX):
                blobs = page.blobs[start : start + PAGE_MAX]
                needed = await self._archiving.needed(blobs, self._clock())
                for digest in blobs:
                    if digest not in needed:
                        yield await self._archiving.move_in(digest, self._take)
            await asyncio.sleep(self._page_pause_s)
            page = await self._archiving.page(page.last)

    async def _look_at_archive(self) -> AsyncGenerator[int]:
        """Put right what is not as it should be, and bring back what is needed; yield the bytes of each blob."""
        found = self._archive.scan()
        while page := await asyncio.to_thread(lambda: list(islice(found, PAGE_MAX))):
            kept = await self._archiving.settle(page)
            needed = set(kept) if self._archive.root is None else await self._archiving.needed(kept, self._clock())
            for digest in kept:
                if digest in needed:
                    yield await self._archiving.bring_back(digest, self._take)
            await asyncio.sleep(self._page_pause_s)

    async def _take(self, _: int) -> None:
        """Let clients go first, for a moment."""
        await self._clients.gone(PAUSE_S_MAX)
