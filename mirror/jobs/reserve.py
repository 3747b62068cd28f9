"""Keeping the reserve: made again when there is room, and told of."""

import asyncio
from typing import Final

from mirror import telemetry
from mirror.store.reserve import Reserve

LOOK_EVERY_S: Final = 5.0  # after a clean-up pushes wait for it


async def keep_reserve(reserve: Reserve) -> None:
    """Make the reserve whenever it is not there and there is room for it, for ever."""
    while True:
        telemetry.RESERVE_HELD.set(await asyncio.to_thread(reserve.make))
        await asyncio.sleep(LOOK_EVERY_S)
