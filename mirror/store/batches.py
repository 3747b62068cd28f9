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
    batch: list[bytes] = []
    size = 0
    try:
        async for chunk in chunks:
            batch.append(chunk)
            size += len(chunk)
            if size >= BATCH_BYTES_MAX:
                await writer.settle()
            if not writer.going:
                return
            if writer.idle:
                writer.begin(batch, size)
                batch, size = [], 0
    finally:
        # Also when the caller is cancelled: it must not close a file that a thread still writes.
        await writer.settle()
        if batch and writer.going:
            writer.begin(batch, size)
            await writer.settle()


class _Writer:
    """One write in a thread at a time. Its end is told as soon as it is there: readers wait for these very bytes."""

    def __init__(self, write: Callable[[list[bytes]], None], written: Callable[[int], bool]) -> None:
        self._write = write
        self._written = written
        self._pending: asyncio.Future[None] | None = None
        self._failure: BaseException | None = None
        self.going = True  # False after a failure and when `written` said so

    @property
    def idle(self) -> bool:
        return self._pending is None

    def begin(self, batch: list[bytes], size: int) -> None:
        self._pending = asyncio.get_running_loop().run_in_executor(None, self._write, batch)
        self._pending.add_done_callback(partial(self._end, size))

    async def settle(self) -> None:
        """Wait for the write under way. Raises what a write raised."""
        if self._pending is not None:
            await asyncio.wait({self._pending})
        if self._failure is not None:
            raise self._failure

    def _end(self, size: int, pending: "asyncio.Future[None]") -> None:
        self._pending = None
        self._failure = pending.exception()
        self.going = self._failure is None and self._written(size)
