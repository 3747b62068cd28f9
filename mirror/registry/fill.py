"""One fill: a fetch into the store that any number of readers follow.

A fill runs in the node's task group, so readers come and go without stopping it. It moves a front through one staged
file; readers take bytes behind the front, in islands that a side range brought in, but never the last bytes before the
digest is verified: wrong bytes are never cached and never completed (DESIGN walk 2, RELIABILITY G4 to G7).
"""

import asyncio
import random
import time
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from typing import Final, Protocol, Self

import structlog

from mirror import telemetry
from mirror.oci.digest import Digest
from mirror.oci.errors import BlobUnknown, RegistryError, UpstreamError, UpstreamTimeout
from mirror.oci.names import Repository
from mirror.oci.ranges import Span
from mirror.registry.flights import Spawn
from mirror.store.batches import write_behind
from mirror.store.disk import full_disk_refused
from mirror.store.sparse import SparseFile
from mirror.upstream.body import BlobBody

TAIL_BYTES: Final = 16 * 1024  # held back until the digest is verified
RESUMES_MAX: Final = 5  # failures in a row without one new byte
RESUME_PAUSE_S: Final = 0.2  # doubled at each failure, with jitter
SIDES_MAX: Final = 2  # ranges far ahead of the front, under way at once
SIDE_BYTES: Final = 16 * 1024 * 1024  # one side range: about two of containerd's chunks
FAR_BYTES: Final = 8 * 1024 * 1024  # nearer than this the front is soon there
FAR_S: Final = 2.0  # and so it is when it will come by within this time
RATE_AFTER_S: Final = 0.25  # a rate measured over less than this says nothing
HEADERS_S_MAX: Final = 9.5  # a client hears something within 10 s (CLIENTS quirk 1)
assert TAIL_BYTES < FAR_BYTES

log = structlog.get_logger()


class BlobSource(Protocol):
    """Where a fill gets its bytes: one repository of one upstream."""

    @property
    def repository(self) -> Repository: ...

    def get_blob(
        self, digest: Digest, start: int = 0, end: int | None = None
    ) -> AbstractAsyncContextManager[BlobBody]: ...


@dataclass(slots=True)
class _Side:
    """A range under way beyond the front: `start` is its first byte, `mark` what it has reached."""

    start: int
    mark: int
    end: int


class Fill:
    """One blob on its way into the store."""

    def __init__(self, digest: Digest, size: int | None, source: BlobSource, staged: SparseFile, spawn: Spawn) -> None:
        self.digest = digest
        self.size = size  # known from a manifest, else from upstream's headers
        self.source = source
        self.staged = staged
        self.answered = False  # upstream's headers are here and agree: clients may have theirs
        self.verified = False
        self.error: RegistryError | None = None
        self._spawn = spawn
        self._progress = asyncio.Event()
        self._readers = 0
        self._finished = False
        self._sides: list[_Side] = []
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
        """Wait for bytes at `offset`; return up to where they may be sent. Raises what stopped the fill."""
        while True:
            end = self.staged.readable_end(offset)
            if not self.verified and self.size is not None:
                end = min(end, self.size - TAIL_BYTES)
            if end > offset:
                return end
            self._look_ahead(offset)
            await self._next()

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
        await asyncio.to_thread(self.staged.open)
        self._started_front = self.staged.front
        failures = 0
        while self.size is None or self.staged.front < self.size:
            before = self.staged.front
            try:
                await self._advance()
            except (UpstreamError, BlobUnknown) as error:
                failures = 1 if self.staged.front > before else failures + 1
                if not self.answered or isinstance(error, BlobUnknown) or failures > RESUMES_MAX:
                    raise
                pause = RESUME_PAUSE_S * 2**failures * random.uniform(0.5, 1.0)  # noqa: S311 - jitter is no secret
                log.info("fill resumes", digest=str(self.digest), front=self.staged.front, reason=error.message)
                await asyncio.sleep(pause)
        if self.staged.front != self.size or not self.staged.verified():
            await asyncio.to_thread(self.staged.discard)
            raise UpstreamError(f"{self.source.repository} sent bytes that are not {self.digest}")
        self.verified = True
        self.notify()

    async def _advance(self) -> None:
        """Move the front once: over an island, behind a side that works there, or by one upstream answer."""
        front = self.staged.front
        reached = self.staged.readable_end(front)
        if reached > front:
            await asyncio.to_thread(self.staged.hash_to, reached)
            self.staged.absorb()
            self.notify()
        elif any(side.start <= front < side.end for side in self._sides):
            await self._progress.wait()
        else:
            await self._fetch_front(front)

    async def _fetch_front(self, front: int) -> None:
        end = self._next_taken(front)
        async with self.source.get_blob(self.digest, front, end) as body:
            self._check_headers(body)
            skip = front - body.start
            chunks = _skipping(body, skip) if skip else body
            with full_disk_refused():
                await write_behind(chunks, self.staged.write_front, self._keep_going)
        if self.size is None:
            self.size = self.staged.front

    def _keep_going(self, written: int) -> bool:
        """After each write: tell the readers, and stop where a long run ahead is here or on its way."""
        telemetry.FILL_BYTES.labels(self.source.repository.upstream).inc(written)
        self.notify()
        front = self.staged.front
        if self.size is not None and front >= self.size:
            return False
        taken = any(side.start <= front < side.end for side in self._sides)
        return not taken and self.staged.readable_end(front) == front

    def _check_headers(self, body: BlobBody) -> None:
        if body.start > self.staged.front:
            raise UpstreamError(f"{self.source.repository} answered another range than was asked")
        if self.size is None:
            self.size = body.size
        elif body.size is not None and body.size != self.size:
            raise UpstreamError(
                f"{self.source.repository} says that {self.digest} has {body.size} bytes, its manifest says {self.size}"
            )
        self.answered = True
        self.notify()

    def _next_taken(self, front: int) -> int | None:
        """Return where the next run beyond `front` starts that is here or on its way; None = nothing ahead."""
        starts = [island.start for island in self.staged.islands] + [side.start for side in self._sides]
        return min((start for start in starts if start > front), default=None)

    # Ranges far ahead of it.

    def _look_ahead(self, offset: int) -> None:
        """Open one bounded range at `offset` when the front will not be there soon."""
        if self.size is None or len(self._sides) >= SIDES_MAX or not self._far(offset):
            return
        if any(side.start <= offset < side.end for side in self._sides):
            return
        end = min(offset + SIDE_BYTES, self.size, self._next_taken(offset) or self.size)
        side = _Side(offset, offset, end)
        self._sides.append(side)
        self._spawn(self._fetch_side(side), f"side {self.digest} {offset}")

    def _far(self, offset: int) -> bool:
        elapsed = time.monotonic() - self._started_at
        if elapsed < RATE_AFTER_S or not self.answered:
            return False
        rate = (self.staged.front - self._started_front) / elapsed
        return offset - self.staged.front > max(FAR_BYTES, rate * FAR_S)

    async def _fetch_side(self, side: _Side) -> None:
        """Bring one range into the file. A side that fails is no harm: the front comes by."""

        def write(buffers: list[bytes]) -> None:
            self.staged.write_at(side.mark, buffers)
            side.mark += sum(map(len, buffers))

        def keep_going(written: int) -> bool:
            telemetry.FILL_BYTES.labels(self.source.repository.upstream).inc(written)
            self.staged.add_island(Span(side.start, min(side.mark, side.end)))
            self.notify()
            return self.error is None and side.mark < side.end

        with self, suppress(RegistryError, OSError):
            try:
                async with self.source.get_blob(self.digest, side.start, side.end) as body:
                    if body.start == side.start:
                        await write_behind(body, write, keep_going)
            finally:
                self._sides.remove(side)
                self.notify()


async def _skipping(chunks: AsyncIterable[bytes], skip: int) -> AsyncIterator[bytes]:
    """Pass over the bytes that are already here when an upstream ignored the Range."""
    async for chunk in chunks:
        if skip < len(chunk):
            yield chunk[skip:]
        skip = max(0, skip - len(chunk))
