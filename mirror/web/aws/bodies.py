"""Bodies of calls: read whole, within a size, in time, and only so many large ones at once.

A call's signature is over its whole body, so bodies are in memory before anything is proved: what is bounded here is
what a stranger who knows a key's name can make the node hold (RELIABILITY A2).
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from aiohttp import web

from mirror.aws.errors import RequestEntityTooLarge, RequestTimedOut, Throttled
from mirror.web.send import read_body
from mirror.web.slow import SlowClock

LARGE_BYTES: Final = 1024 * 1024  # above it a body waits for one of few places
LARGE_AT_ONCE_MAX: Final = 8  # a layer part takes up to four times its 20 MiB while it is decoded
PLACE_S_MAX: Final = 10.0  # how long a large body waits for a place; SDKs come again after being throttled
BODY_S_MAX: Final = 300.0  # 20 MiB at 0.7 Mbit/s
ON_THE_LOOP_BYTES_MAX: Final = 64 * 1024  # hashing and decoding this takes less than a thread hop's 100 us or so

T = TypeVar("T")


class Bodies:
    """Reads the bodies of calls. One object for all APIs of a node: the places are the node's."""

    def __init__(
        self, slow: SlowClock, *, large_at_once_max: int = LARGE_AT_ONCE_MAX, place_s_max: float = PLACE_S_MAX
    ) -> None:
        self._slow = slow
        self._places = asyncio.Semaphore(large_at_once_max)
        self._place_s_max = place_s_max

    @asynccontextmanager
    async def reading(self, request: web.BaseRequest, size_max: int) -> AsyncIterator[bytes]:
        """Read a body of at most `size_max` bytes; a large one has its place for as long as the context lasts.

        Raises RequestEntityTooLarge, RequestTimedOut, and Throttled where too many others are sending large ones.
        """
        length = request.content_length
        if length is not None and length > size_max:
            raise _too_large(size_max)
        if size_max <= LARGE_BYTES or (length is not None and length <= LARGE_BYTES):
            yield await self._read(request, size_max)
            return
        try:
            async with asyncio.timeout(self._place_s_max):
                await self._places.acquire()
        except TimeoutError:
            raise Throttled("Rate exceeded") from None
        try:
            yield await self._read(request, size_max)
        finally:
            self._places.release()

    async def _read(self, request: web.BaseRequest, size_max: int) -> bytes:
        try:
            async with asyncio.timeout(BODY_S_MAX):
                return await read_body(request, self._slow, size_max, _too_large(size_max))
        except TimeoutError:
            raise RequestTimedOut("The request took too long to arrive") from None


async def by_size(data: bytes, work: Callable[[bytes], T]) -> T:
    """Do `work` on `data`: at once where it is small, else in a thread."""
    if len(data) <= ON_THE_LOOP_BYTES_MAX:
        return work(data)
    return await asyncio.to_thread(work, data)


def _too_large(size_max: int) -> RequestEntityTooLarge:
    return RequestEntityTooLarge(f"The request is larger than the {size_max} bytes that this operation takes")
