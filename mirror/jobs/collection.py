"""Collecting: what nothing names any more goes when its grace time is over; now and then everything is walked.

What deletions leave behind is written down as it happens. The walk finds what nobody wrote down: blobs of pushes that
were given up, files that a crash left without an entry. It is slow on purpose.
"""

import asyncio
import time
from collections.abc import Callable
from itertools import islice
from typing import Final

from mirror import telemetry
from mirror.jobs.rounds import told
from mirror.oci.digest import Digest
from mirror.store.collection import PAGE_MAX, Collection, Tally
from mirror.store.files import Files
from mirror.store.space import Space

LOOK_EVERY_S: Final = 30.0  # for suspects whose grace time is over
WALK_EVERY_S: Final = 86_400.0
WALK_AFTER_S: Final = 60.0  # from a start, which has enough to do
PAGE_PAUSE_S: Final = 0.05  # between two pages of a walk: a million blobs take some minutes


class Collector:
    """Collects for ever. `clock` in unix seconds; `page_pause_s` is shorter in tests."""

    def __init__(
        self,
        collection: Collection,
        files: Files,
        space: Space,
        clock: Callable[[], float] = time.time,
        page_pause_s: float = PAGE_PAUSE_S,
    ) -> None:
        self._collection = collection
        self._files = files
        self._space = space
        self._clock = clock
        self._page_pause_s = page_pause_s

    async def run(self) -> None:
        """Collect what is due every LOOK_EVERY_S."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await told("collection", self.collect(), LOOK_EVERY_S)

    async def patrol(self) -> None:
        """Walk everything every WALK_EVERY_S."""
        await asyncio.sleep(WALK_AFTER_S)
        while True:
            await told("walk of blobs", self.walk(), WALK_EVERY_S)
            await asyncio.sleep(WALK_EVERY_S)

    async def collect(self) -> Tally:
        """Remove all that is due now, batch by batch; return what went. Raises StorageFull, Unavailable, OSError."""
        gone = Tally()
        now = self._clock()
        while due := await self._collection.due(now):
            gone = gone.plus(await self.take([digest for _, digest in due], now))
        if gone.blobs:
            telemetry.log.info("blobs collected", blobs=gone.blobs, bytes=gone.size)
        return gone

    async def take(self, digests: list[Digest], now: float) -> Tally:
        """Remove those of a batch of suspects that nobody needs, and count them."""
        gone = await self._collection.collect(digests, now)
        self._space.look_again()
        telemetry.COLLECTED_BLOBS.inc(gone.blobs)
        telemetry.COLLECTED_BYTES.inc(gone.size)
        return gone

    async def forecast(self) -> Tally:
        """Say what `collect` would remove."""
        return await self._collection.forecast(self._clock())

    async def walk(self) -> None:
        """Write down what nobody needs, of all entries and of all files. Raises StorageFull, Unavailable, OSError."""
        last = await self._collection.look_at_entries(None, self._clock())
        while last is not None:
            await asyncio.sleep(self._page_pause_s)
            last = await self._collection.look_at_entries(last, self._clock())
        found = self._files.scan()
        while page := await asyncio.to_thread(lambda: [digest for digest, _ in islice(found, PAGE_MAX)]):
            await self._collection.look_at_files(page, self._clock())
            await asyncio.sleep(self._page_pause_s)
