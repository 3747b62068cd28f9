"""Whether what is on the disk is what the index says: all entries followed to their files, all files to their entries,
and what repositories of our own name to either. Finds faults; `losses.py` does something about them.

Source: RELIABILITY 3.1 and section 4, "Bit rot".
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from itertools import islice
from typing import Final

from mirror.oci.digest import Digest
from mirror.store.examination import Examiner, Fault, Take
from mirror.store.store import Store

PAGE_MAX: Final = 500  # blobs named in memory at once
SEEN_MAX: Final = 100_000  # digests remembered so that none is told twice; some 20 MB

Progress = Callable[[int], object]  # blobs looked at so far


async def at_once(_: int) -> None:
    """Let bytes be read as fast as they can."""


class Verification:
    """Looks at all of a store. Thorough: every stored byte is held against its digest."""

    def __init__(self, store: Store, take: Take = at_once) -> None:
        self._store = store
        self._index = store.index
        self._examiner = Examiner(store.files, store.index, take, thorough=True)

    async def faults(self, progress: Progress = lambda _: None) -> AsyncIterator[Fault]:
        """Yield each fault as it is found; whoever repairs it does so before the next one is looked for."""
        done = 0
        told: set[Digest] = set()
        async for fault in self._all():
            if fault is not None:
                if len(told) < SEEN_MAX:
                    told.add(fault.digest)
                yield fault
            else:
                done += 1
                progress(done)
        async for digest in unheld(self._store):
            if digest not in told:
                yield Fault("name without bytes", digest)

    async def _all(self) -> AsyncIterator[Fault | None]:
        """Yield the faults of each blob, and None behind each."""
        last: Digest | None = None
        while page := self._index.blobs(last, PAGE_MAX):
            for digest, _ in page:
                yield await self._examiner.entry(digest)
                yield None
            last = page[-1][0]
        found = self._store.files.scan()
        while strays := await asyncio.to_thread(lambda: list(islice(found, PAGE_MAX))):
            for digest, size in strays:
                if self._index.blob(digest) is None:
                    yield await self._examiner.stray(digest, size)
                    yield None


async def unheld(store: Store) -> AsyncIterator[Digest]:
    """Yield what repositories of our own name and the index has no bytes of."""
    seen: set[Digest] = set()
    async for page in store.holders.ours():
        for digest in page:
            # What is being pushed has its rows a moment before it has its entry.
            if digest in seen or store.guard.is_held(digest) or store.index.blob(digest) is not None:
                continue
            if len(seen) >= SEEN_MAX:
                seen.clear()
            seen.add(digest)
            yield digest
