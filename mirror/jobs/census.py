"""The census: how many blobs are here and how many bytes, counted now and then for those who watch the node."""

import asyncio
import time
from typing import Final, Protocol

from mirror import telemetry

EVERY_S: Final = 300.0  # a million blobs are half a second of the loop, in slices


class Census(Protocol):
    """Who counts."""

    async def count(self) -> object: ...


async def count_often(census: Census) -> None:
    """Count for ever."""
    while True:
        await census.count()
        now = time.time()
        telemetry.job_ended("census", now, now + EVERY_S)
        await asyncio.sleep(EVERY_S)
