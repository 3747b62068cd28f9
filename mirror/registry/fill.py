"""One fill: a fetch into the store that any number of readers follow.

A fill runs in the node's task group, so readers come and go without stopping it. It moves a front through one staged
file; readers take bytes behind the front, in islands that a side range brought in, but never the last bytes before the
digest is verified: wrong bytes are never cached and never completed (DESIGN walk 2, RELIABILITY G4 to G7).
"""

import asyncio
import time
from typing import Final, Self

from mirror import telemetry
from mirror.oci.digest import Digest
from mirror.oci.errors import BlobUnknown, RegistryError, UpstreamError, UpstreamTimeout
from mirror.registry.flights import Spawn
from mirror.registry.pacing import Pace
from mirror.registry.resuming import RESUMES_MAX, first, resume_pause_s, skipping
from mirror.registry.sides import BlobSource, Sides
from mirror.store.batches import BATCH_BYTES_MAX, write_behind
from mirror.store.disk import full_disk_refused
from mirror.store.space import Space
from mirror.store.sparse import SparseFile
from mirror.upstream.body import BlobBody

TAIL_BYTES: Final = 16 * 1024  # held back until the digest is verified
TELL_S_PER_READER: Final = 0.0001  # about what a wake-up and a send cost: half of the time stays for other work
TELL_S_MAX: Final = 0.1  # a thousand readers see the front move ten times a second
FAR_BYTES: Final = 8 * 1024 * 1024  # nearer than this the front is soon there
FAR_S: Final = 2.0  # and so it is when it will come by within this time
RATE_AFTER_S: Final = 0.25  # a rate measured over less than this says nothing
HEADERS_S_MAX: Final = 9.5  # a client hears something within 10 s (CLIENTS quirk 1)
assert TAIL_BYTES < FAR_BYTES
# A batch of the front that is being written when a side begins ends before it: see `_write_front`.
assert 2 * BATCH_BYTES_MAX < FAR_BYTES


class Fill:
    """One blob on its way into the store."""

    def __init__(
        self,
        digest: Digest,
        size: int | None,
        source: BlobSource,
        staged: SparseFile,
        spawn: Spawn,
        space: Space,
        pace: Pace | None = None,
    ) -> None:
        self.digest = digest
        self.size = size  # known from a manifest, else from upstream's headers
        self.source = source
        self.staged = staged
        self.pace = pace  # of a fill in the background, as long as no client has joined it
        self.answered = False  # upstream's headers are here and agree: clients may have theirs
        self.verified = False
        self.error: RegistryError | None = None
        self._progress = asyncio.Event()
        self._space = space
        self._has_room = False  # counted on, at the disk
        self._readers = 0
        self._finished = False
        self._sides = Sides(digest, source, staged, spawn, self.notify)
        self._told_at = 0.0
        self._telling: asyncio.Handle | None = None
        self._clipped = False  # the last write of the front ended where a run that is taken begins
        self._started_at = time.monotonic()
        self._started_front = 0

    async def headers(self) -> int:
        """Wait until the size is known and upstream has answered; return the size. Raises what went wrong."""
        try:
            async with asyncio.timeout(HEADERS_S_MAX):
                while not (self.answered and self.size is not None) and not self.verified:
                    await self._next()
        except TimeoutError:
            raise UpstreamTimeout(f"{self.source.repository} has not answered for {self.digest} yet") from None
        assert self.size is not None
        return self.size

    async def readable(self, offset: int) -> int:
        """Wait for bytes at `offset`; return up to where they may be sent. Raises what stopped the fill.

        Of a verified blob it returns the end of the bytes, also for an `offset` at or behind it.
        """
        while True:
            end = self.staged.readable_end(offset)
            if not self.verified and self.size is not None:
                end = min(end, self.size - TAIL_BYTES)
            if end > offset or self.verified:
                return end
            self._look_ahead(offset)
            await self._next()

    async def ended(self) -> None:
        """Wait until the blob is in the store. Raises what went wrong."""
        while not self._finished:
            await self._progress.wait()
        if self.error is not None:
            raise self.error

    @property
    def readers(self) -> int:
        """How many clients follow it."""
        return self._readers

    def __enter__(self) -> Self:
        self._readers += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._readers -= 1
        self._close_if_done()

    async def _next(self) -> None:
        """Wait for the next progress. Raises the error that ended the fill."""
        self._check()
        await self._progress.wait()
        self._check()

    def _check(self) -> None:
        if self.error is not None and not self.verified:
            raise self.error

    def notify(self) -> None:
        self._progress.set()
        self._progress = asyncio.Event()

    def _tell(self) -> None:
        """Notify, now or a little later: waking a reader for every batch costs more than its bytes do."""
        if self._telling is None:
            loop = asyncio.get_running_loop()
            pause_s = min(TELL_S_MAX, self._readers * TELL_S_PER_READER)
            self._telling = loop.call_at(max(loop.time(), self._told_at + pause_s), self._tell_now)

    def _tell_now(self) -> None:
        self._telling = None
        self._told_at = asyncio.get_running_loop().time()
        self.notify()

    def finish(self, error: RegistryError | None = None) -> None:
        """End the fill: wake the readers, and close the file when the last of them leaves."""
        self.error = error
        self._finished = True
        self.notify()
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._finished and not self._readers:
            self.staged.close()

    # The front.

    async def run(self) -> None:
        """Fetch until all bytes are here and bear the digest. Raises UpstreamError, BlobUnknown, StorageFull."""
        with full_disk_refused():
            await asyncio.to_thread(self.staged.open)
        self._started_front = self.staged.front
        await self._take_room()
        try:
            await self._fetch()
        finally:
            await self._sides.end()
        if self.staged.front != self.size or not self.staged.verified():
            await asyncio.to_thread(self.staged.discard)
            raise UpstreamError(f"{self.source.repository} sent bytes that are not {self.digest}")
        self.verified = True
        self.notify()

    async def _take_room(self) -> None:
        """Count on room for what is not here, or for anything until the size is known. Raises StorageFull."""
        if not self._has_room:
            await self._space.take(0 if self.size is None else self._absent(self.size))
            self._has_room = self.size is not None

    def unwritten(self) -> int:
        """Return how many bytes are still to be written that there is room for."""
        return self._absent(self.size) if self._has_room and self.size is not None else 0

    def _absent(self, size: int) -> int:
        return size - self.staged.front - sum(map(len, self.staged.islands))

    async def _fetch(self) -> None:
        """Move the front to the end, and go on where an answer of upstream broke off."""
        failures = 0
        while self.size is None or self.staged.front < self.size:
            before = self.staged.front
            try:
                await self._advance()
            except (UpstreamError, BlobUnknown) as error:
                failures = 1 if self.staged.front > before else failures + 1
                if not self.answered or isinstance(error, BlobUnknown) or failures > RESUMES_MAX:
                    raise
                telemetry.span_event("resume", front=self.staged.front, failures=failures)
                telemetry.log.info(
                    "fill resumes", digest=str(self.digest), front=self.staged.front, reason=error.message
                )
                await asyncio.sleep(resume_pause_s(failures))

    async def _advance(self) -> None:
        """Move the front once: over an island, behind a side that works there, or by one upstream answer."""
        front = self.staged.front
        reached = self.staged.readable_end(front)
        if reached > front:
            await asyncio.to_thread(self.staged.hash_to, reached)
            self.staged.absorb()
            self.notify()
        elif self._taken(front):
            await self._progress.wait()
        else:
            await self._fetch_front(front)

    async def _fetch_front(self, front: int) -> None:
        end = self._next_taken(front)
        self._clipped = False
        # Of a blob whose size nobody knows all may be here: one byte again, so that upstream has something to answer.
        start = front if self.size is not None else max(0, front - 1)
        async with self.source.get_blob(self.digest, start, end) as body:
            await self._check_headers(body)
            skip = front - body.start
            chunks = skipping(body, skip) if skip else body
            if self.pace is not None:
                chunks = self.pace.chunks(chunks)
            with full_disk_refused():
                await write_behind(chunks, self._write_front, self._keep_going)
        if self.size is None:
            self.size = self.staged.front
        elif not self._clipped and not self._taken(self.staged.front) and self.staged.front < (end or self.size):
            # Without a Content-Length nothing but our own count tells that the answer was cut.
            raise UpstreamError(f"{self.source.repository} ended its answer at byte {self.staged.front} of {self.size}")

    def _write_front(self, buffers: list[bytes]) -> None:
        """Blocking: write and hash up to the next run that is taken, and not one byte into it.

        The front hashes what it writes. Bytes that a side wrote over them would be in the file under a digest that
        never saw them.
        """
        end = self._next_taken(self.staged.front)
        room = sum(map(len, buffers)) if end is None else end - self.staged.front
        self._clipped = room < sum(map(len, buffers))
        self.staged.write_front(list(first(buffers, room)) if self._clipped else buffers)

    def _keep_going(self, written: int) -> bool:
        """After each write: tell the readers, and stop where a long run ahead is here or on its way."""
        telemetry.FILL_BYTES.labels(self.source.repository.upstream).inc(written)
        self._tell()
        front = self.staged.front
        if self.size is not None and front >= self.size:
            return False
        return not self._clipped and not self._taken(front)

    def _taken(self, offset: int) -> bool:
        """Tell whether the byte at `offset`, not before the front, is here or a side is on its way to it."""
        return self._sides.cover(offset) or self.staged.readable_end(offset) > offset

    async def _check_headers(self, body: BlobBody) -> None:
        if body.start > self.staged.front:
            raise UpstreamError(f"{self.source.repository} answered another range than was asked")
        if self.size is None:
            self.size = body.size
        elif body.size is not None and body.size != self.size:
            raise UpstreamError(
                f"{self.source.repository} says that {self.digest} has {body.size} bytes, its manifest says {self.size}"
            )
        await self._take_room()
        self.answered = True
        self.notify()

    def _next_taken(self, front: int) -> int | None:
        """Return where the next run beyond `front` starts that is here or on its way; None = nothing ahead."""
        starts = [island.start for island in self.staged.islands] + self._sides.starts()
        return min((start for start in starts if start > front), default=None)

    # Ranges far ahead of it.

    def _look_ahead(self, offset: int) -> None:
        """Open one bounded range at `offset` when the front will not be there soon."""
        if self.size is None or self._sides.full:
            return
        # The tail waits for the front in any case, so a side that brings it helps nobody.
        if offset >= self.size - TAIL_BYTES or not self._far(offset) or self._taken(offset):
            return
        self._sides.open(offset, self._next_taken(offset) or self.size)

    def _far(self, offset: int) -> bool:
        elapsed = time.monotonic() - self._started_at
        if elapsed < RATE_AFTER_S or not self.answered:
            return False
        rate = (self.staged.front - self._started_front) / elapsed
        return offset - self.staged.front > max(FAR_BYTES, rate * FAR_S)
