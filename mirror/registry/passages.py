"""Passages: blobs that go from their upstream to one client, and of which nothing is kept, for the disk is full.

Source: RELIABILITY section 4, "Disk full": a full disk never breaks a pull. What is sent whole is hashed on the way,
and its last bytes wait for the digest as those of a fill do; of a range only the client can tell. A client that
followed a fill into a full disk goes on where the fill has stopped.
"""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Final, Self

from mirror import telemetry
from mirror.oci.digest import Digest, hasher
from mirror.oci.errors import Unavailable, UpstreamError, UpstreamTimeout
from mirror.oci.ranges import Span
from mirror.registry.fill import HEADERS_S_MAX, TAIL_BYTES
from mirror.registry.resuming import RESUMES_MAX, resume_pause_s, skipping
from mirror.registry.sides import BlobSource
from mirror.store.sparse import SparseFile
from mirror.upstream.body import BlobBody

if TYPE_CHECKING:
    from hashlib import _Hash

Chunks = AsyncGenerator[bytes, None]

PASSAGES_MAX: Final = 256  # each holds about 1 MiB between the two sockets; one upstream gives some tens at once
TURN_S_MAX: Final = 30.0  # how long a client that has half a blob waits for a turn: others hold theirs for a while
TELL_EVERY_S: Final = 60.0


class Passages:
    """The passages of one node: how many are under way, and who is told that there are any."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._turns = asyncio.Semaphore(PASSAGES_MAX)
        self._told_at = float("-inf")
        self._untold = 0

    @asynccontextmanager
    async def enter(self, wait_s: float = 0.0) -> AsyncIterator[None]:
        """Be one of the passages in the block, after a wait if need be. Raises Unavailable where there are enough."""
        try:
            async with asyncio.timeout(wait_s):
                await self._turns.acquire()
        except TimeoutError:
            message = f"the disk is full, and {PASSAGES_MAX} blobs are passed on already"
            raise Unavailable(message, headers={"Retry-After": "5"}) from None
        try:
            self._tell()
            yield
        finally:
            self._turns.release()

    def _tell(self) -> None:
        """Log that blobs are passed on, once in TELL_EVERY_S."""
        self._untold += 1
        now = self._clock()
        if now - self._told_at >= TELL_EVERY_S:
            telemetry.log.warning("the disk is full: blobs are passed on and not kept", blobs=self._untold)
            self._told_at, self._untold = now, 0


class Passage:
    """One blob of `size` bytes on its way to one client. Use with `async with`, from before the headers are sent."""

    def __init__(self, passages: Passages, source: BlobSource, digest: Digest, size: int) -> None:
        self.size = size
        self._passages = passages
        self._source = source
        self._digest = digest
        self._turn = AsyncExitStack()
        self._opened = AsyncExitStack()  # the answer that `begin` had
        self._begun: tuple[int, BlobBody] | None = None  # from where it was asked, and the answer

    async def __aenter__(self) -> Self:
        await self._turn.enter_async_context(self._passages.enter())
        return self

    async def __aexit__(self, *_: object) -> None:
        async with self._turn:
            await self._opened.aclose()

    async def begin(self, span: Span) -> None:
        """Have upstream answer for the first bytes wanted: what it refuses is said before our client has headers.

        Raises BlobUnknown, UpstreamError.
        """
        try:
            async with asyncio.timeout(HEADERS_S_MAX):
                body = await self._opened.enter_async_context(self._ask(span.start, span.end))
        except TimeoutError:
            raise UpstreamTimeout(f"{self._source.repository} has not answered for {self._digest} yet") from None
        self._begun = span.start, body

    def read(self, span: Span) -> Chunks:
        """Give the bytes of `span`. Raises UpstreamError, of a whole blob also for bytes that are others."""
        if len(span) < self.size:
            return self._fetch(span)
        return self._check(self._fetch(span), hasher(self._digest.algorithm), b"")

    async def rest(self, span: Span, staged: SparseFile) -> Chunks:
        """Give the bytes of `span`, at the start of which a fill has left its client alone. Raises as `read` does."""
        async with self._passages.enter(TURN_S_MAX):
            front = staged.front
            if span.start > front or span.end < self.size:
                chunks = self._fetch(span)
            else:
                # Some bytes at most: the fill held back its tail.
                known = await asyncio.to_thread(os.pread, staged.file.fileno(), front - span.start, span.start)
                chunks = self._check(self._fetch(Span(front, self.size)), staged.running(), known)
            async with aclosing(chunks):
                async for chunk in chunks:
                    yield chunk

    async def _check(self, chunks: Chunks, running: "_Hash", held: bytes) -> Chunks:
        """Pass on `held`, which `running` has in it, and `chunks`; the last bytes when all have the digest."""
        async with aclosing(chunks):
            async for chunk in chunks:
                await asyncio.to_thread(running.update, chunk)
                held += chunk
                if len(held) > TAIL_BYTES:
                    yield held[:-TAIL_BYTES]
                    held = held[-TAIL_BYTES:]
        if running.hexdigest() != self._digest.hex:
            raise UpstreamError(f"{self._source.repository} sent bytes that are not {self._digest}")
        if held:
            yield held

    async def _fetch(self, span: Span) -> Chunks:
        """Fetch `span`, and go on where an answer of upstream breaks off."""
        at, failures = span.start, 0
        while at < span.end:
            before = at
            try:
                async with self._answer(at, span.end) as body:
                    async for chunk in skipping(body, at - body.start):
                        wanted = chunk[: span.end - at]
                        at += len(wanted)
                        telemetry.PASSED_BYTES.labels(self._source.repository.upstream).inc(len(wanted))
                        yield wanted
                        if at == span.end:
                            return
                error = UpstreamError(f"{self._source.repository} ended its answer at byte {at} of {self.size}")
            except UpstreamError as failure:
                error = failure
            failures = 1 if at > before else failures + 1
            if failures > RESUMES_MAX:
                raise error
            await asyncio.sleep(resume_pause_s(failures))

    @asynccontextmanager
    async def _answer(self, start: int, end: int) -> AsyncIterator[BlobBody]:
        """Open an answer from `start` on, or take the one that is open."""
        begun, self._begun = self._begun, None
        if begun is not None and begun[0] == start:
            async with self._opened:
                yield begun[1]
        else:
            async with self._ask(start, end) as body:
                yield body

    def _ask(self, start: int, end: int) -> AbstractAsyncContextManager[BlobBody]:
        return self._checked(start, None if end == self.size else end)

    @asynccontextmanager
    async def _checked(self, start: int, end: int | None) -> AsyncIterator[BlobBody]:
        async with self._source.get_blob(self._digest, start, end) as body:
            if body.start > start or body.size not in (None, self.size):
                raise UpstreamError(f"{self._source.repository} answered other bytes of {self._digest} than was asked")
            yield body
