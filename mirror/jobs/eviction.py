"""Evicting: the cache is held within its bounds, least recently used images first.

What our own repositories need, what is pinned and what is in use stays. An evicted image is a miss like any other: the
next pull fetches it.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from mirror import telemetry
from mirror.jobs.rounds import told
from mirror.oci.digest import Digest
from mirror.oci.names import Repository
from mirror.rules.eviction import IN_USE_S, Bounds, Space, marks, pins, unused_since
from mirror.store.collection import BATCH_MAX, Tally
from mirror.store.eviction import Cached
from mirror.store.store import Store

LOOK_EVERY_S: Final = 10.0  # a fast line brings ten gigabytes meanwhile
BATCH: Final = 20  # images of one transaction: pushes wait for some 10 ms
COUNT_EVERY_S_MAX: Final = 300.0  # how old the count of our own bytes may be
COUNT_REST: Final = 100.0  # times as long as a count took nothing is counted: it is a walk over all links
AGE_EVERY_S: Final = 3_600.0  # what is unused for too long is looked for this often
SAID_EVERY_S: Final = 3_600.0  # that nothing more can go


class Collector(Protocol):
    """Who removes blobs that nothing names."""

    async def take(self, digests: list[Digest], now: float) -> Tally: ...


class Pulls(Protocol):
    """Who knows of pulls that the rows do not tell of yet."""

    def last(self, repository: Repository, digest: Digest) -> float: ...


@dataclass(frozen=True, slots=True)
class Evicted:
    """What went: images, and the bytes of their blobs."""

    images: int = 0
    size: int = 0

    def plus(self, other: "Evicted") -> "Evicted":
        return Evicted(self.images + other.images, self.size + other.size)


class Evictor:
    """Evicts for ever. `keep` chooses repositories by the names that clients know; `clock` in unix seconds."""

    def __init__(
        self,
        bounds: Bounds,
        keep: Sequence[str],
        store: Store,
        collector: Collector,
        pulls: Pulls,
        name: Callable[[Repository], str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._bounds = bounds
        self._kept = pins(keep)
        self._rows = store.eviction
        self._index = store.index
        self._files = store.files
        self._collector = collector
        self._pulls = pulls
        self._name = name
        self._clock = clock
        self._owned = 0
        self._count_at = self._aged_at = self._said_at = float("-inf")
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Look now: something did not fit."""
        self._wake.set()

    async def run(self) -> None:
        """Evict when the cache passes its bounds, or what is unused for too long."""
        while True:
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            await told("eviction", self.evict(), LOOK_EVERY_S)

    async def evict(self) -> Evicted:
        """Do once what `run` does; return what went. Raises RegistryError, OSError."""
        gone = await self._evict_old()
        if self._clock() >= self._count_at or await self._allowed() is not None:
            await self._count_owned()  # what was pushed meanwhile is no cache
            low = await self._allowed()
            gone = gone if low is None else gone.plus(await self._evict_to(low))
        if gone.images:
            telemetry.log.info("evicted", images=gone.images, bytes=gone.size, cached=self._cached())
        return gone

    async def _evict_old(self) -> Evicted:
        now = self._clock()
        since = unused_since(self._bounds, now)
        if since is None or now - self._aged_at < AGE_EVERY_S:
            return Evicted()
        self._aged_at = now
        return await self._evict_while(since, float("-inf"))

    async def _evict_to(self, low: int) -> Evicted:
        now = self._clock()
        gone = await self._evict_while(now - IN_USE_S, low)
        cached = self._cached()
        if cached > low and now - self._said_at > SAID_EVERY_S:
            self._said_at = now
            telemetry.log.warning("the cache is above its bounds, the rest in use or kept", cached=cached, wanted=low)
        return gone

    async def _evict_while(self, since: float, low: float) -> Evicted:
        """Let images go that nobody used since, oldest first, until the cache is at `low`."""
        gone, last = Evicted(), (-1.0, "")
        while page := await self._rows.page(since, last):
            last = page[-1].place
            chosen = sorted(filter(lambda image: self._may_go(image, since), page), key=self._used_at)
            while chosen and self._cached() > low:
                batch = _worth(chosen, self._cached() - low)
                gone = gone.plus(await self._let_go(batch))
                del chosen[: len(batch)]
            if chosen:
                break
        return gone

    def _used_at(self, image: Cached) -> float:
        """Return when an image was used last: the rows are some hours behind."""
        return max(image.used_at, self._pulls.last(image.repository, image.digest))

    def _may_go(self, image: Cached, since: float) -> bool:
        return self._used_at(image) < since and not self._kept(self._name(image.repository))

    async def _let_go(self, images: Sequence[Cached]) -> Evicted:
        now = self._clock()
        unneeded = await self._rows.evict(images, now)
        size = 0
        for at in range(0, len(unneeded), BATCH_MAX):
            size += (await self._collector.take(unneeded[at : at + BATCH_MAX], now)).size
        telemetry.EVICTED_IMAGES.inc(len(images))
        telemetry.EVICTED_BYTES.inc(size)
        return Evicted(len(images), size)

    # How much there is.

    async def _allowed(self) -> int | None:
        """Return how many cached bytes may be left; None while there are not too many."""
        free, disk = await asyncio.to_thread(self._files.room)
        cached = self._cached()
        telemetry.CACHE_BYTES.set(cached)
        high, low = marks(self._bounds, Space(cached, free, disk))
        return low if cached > high else None

    def _cached(self) -> int:
        """Return the bytes that only the cache needs, but for what was pushed since our own were counted."""
        return max(self._index.blob_bytes() - self._owned, 0)

    async def _count_owned(self) -> None:
        began_at = time.monotonic()
        self._owned = await self._rows.owned_bytes()
        took_s = time.monotonic() - began_at
        self._count_at = self._clock() + min(took_s * COUNT_REST, COUNT_EVERY_S_MAX)


def _worth(images: Sequence[Cached], size: float) -> Sequence[Cached]:
    """Return the first images whose bytes are enough; fewer go with them where others name the same blobs."""
    total = 0
    for count, image in enumerate(images[:BATCH]):
        if total >= size:
            return images[:count]
        total += image.size
    return images[:BATCH]
