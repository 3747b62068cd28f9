"""Write-behind: the next bytes are received while the last ones are written and hashed in a thread."""

import asyncio
from collections.abc import AsyncIterable, Callable
from functools import partial
from typing import Final

BATCH_BYTES_MAX: Final = 1024 * 1024  # large enough to make a thread hop cheap, small enough to count per transfer


async def write_behind(
    chunks: AsyncIterable[bytes], write: Callable[[list[bytes]], None], written: Callable[[int], bool]
) -> None:
    """Pass `chunks` to `write` (blocking, run in a thread, one at a time) in batches of at most about 1 MiB.

    `written(bytes)` is told after each batch, on the loop and at once, however long the next chunk takes; it stops the
    copying by returning False. When `chunks` raises, what had come is written first, then the error goes on.
    """
    writer = _Writer(write, written)
    try:
        async for chunk in chunks:
            writer.add(chunk)
            if writer.full:
                await writer.turn()
            if not writer.going:
                return
    finally:
        # Also when the caller is cancelled: it must not close a file that a thread still writes.
        await writer.settle()


class _Writer:
    """One write in a thread at a time; what came meanwhile is the next one, begun and told of without delay.

    Readers wait for these very bytes: none may lie here until upstream sends more.
    """

    def __init__(self, write: Callable[[list[bytes]], None], written: Callable[[int], bool]) -> None:
        self._write = write
        self._written = written
        self._batch: list[bytes] = []
        self._size = 0
        self._pending: asyncio.Future[None] | None = None
        self._failure: BaseException | None = None
        self.going = True  # False after a failure and when `written` said so

    @property
    def full(self) -> bool:
        return self._size >= BATCH_BYTES_MAX

    def add(self, chunk: bytes) -> None:
        self._batch.append(chunk)
        self._size += len(chunk)
        self._begin()

    async def turn(self) -> None:
        """Wait for the write under way, if any."""
        if self._pending is not None:
            await asyncio.wait({self._pending})

    async def settle(self) -> None:
        """Wait until all is written. Raises what a write raised."""
        while self._pending is not None:
            await self.turn()
        if self._failure is not None:
            raise self._failure

    def _begin(self) -> None:
        if self._pending is not None or not self._batch or not self.going:
            return
        self._pending = asyncio.get_running_loop().run_in_executor(None, self._write, self._batch)
        self._pending.add_done_callback(partial(self._end, self._size))
        self._batch, self._size = [], 0

    def _end(self, size: int, pending: "asyncio.Future[None]") -> None:
        self._pending = None
        self._failure = pending.exception()
        self.going = self._failure is None and self._written(size)
        self._begin()
