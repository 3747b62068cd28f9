"""Resuming: going on where an answer of upstream broke off, a bounded number of times."""

import random
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from typing import Final

RESUMES_MAX: Final = 5  # failures in a row without one new byte
RESUME_PAUSE_S: Final = 0.2  # doubled at each failure, with jitter


def resume_pause_s(failures: int) -> float:
    """Return how long to wait before upstream is asked to go on, after so many failures in a row."""
    jitter = random.uniform(0.5, 1.0)  # noqa: S311 - no secret
    return RESUME_PAUSE_S * float(2**failures) * jitter


async def skipping(chunks: AsyncIterable[bytes], skip: int) -> AsyncIterator[bytes]:
    """Pass over the first `skip` bytes: they are here already, and an upstream ignored the Range."""
    async for chunk in chunks:
        if skip < len(chunk):
            yield chunk[skip:]
        skip = max(0, skip - len(chunk))


def first(buffers: list[bytes], count: int) -> Iterator[bytes]:
    """Yield the first `count` bytes of `buffers`."""
    for buffer in buffers:
        if count <= 0:
            return
        yield buffer[:count]
        count -= len(buffer)
