"""Write-behind: the next bytes are received while the last ones are written and hashed in a thread."""

import asyncio
from collections.abc import AsyncIterable, Callable
from typing import Final

BATCH_BYTES_MAX: Final = 1024 * 1024  # large enough to make a thread hop cheap, small enough to count per transfer


async def write_behind(
    chunks: AsyncIterable[bytes], write: Callable[[list[bytes]], None], written: Callable[[int], bool]
) -> None:
    """Pass `chunks` to `write` (blocking, run in a thread, one at a time) in batches of at most about 1 MiB.

    `written(bytes)` is told after each batch, on the loop, and stops the copying by returning False. When `chunks`
    raises, what had come is written first, then the error goes on.
    """
    loop = asyncio.get_running_loop()
    batch: list[bytes] = []
    size = pending_size = 0
    pending: asyncio.Future[None] | None = None
    going = True
    try:
        async for chunk in chunks:
            batch.append(chunk)
            size += len(chunk)
            if pending is not None and (size >= BATCH_BYTES_MAX or pending.done()):
                await asyncio.shield(pending)  # a cancelled caller must not close a file that a thread still writes
                pending = None
                going = written(pending_size)
                if not going:
                    return
            if pending is None:
                pending, pending_size = loop.run_in_executor(None, write, batch), size
                batch, size = [], 0
    finally:
        if pending is not None:
            await pending
            going = written(pending_size)
        if batch and going:
            await loop.run_in_executor(None, write, batch)
            written(size)
