"""Keeping the reserve, and looking at the disk: made again when there is room, and told of while there is none."""

import asyncio
from typing import Final

from mirror import telemetry
from mirror.oci.errors import RegistryError
from mirror.store.reserve import Reserve
from mirror.store.space import Space

LOOK_EVERY_S: Final = 5.0  # after a clean-up pushes wait for it


async def watch_disk(reserve: Reserve, space: Space) -> None:
    """Make the reserve whenever it is not there and there is room for it, and say how the disk is, for ever."""
    while True:
        telemetry.RESERVE_HELD.set(await asyncio.to_thread(reserve.make))
        try:
            await space.take(0)
        except RegistryError:
            telemetry.DISK_FULL.set(1)
        else:
            telemetry.DISK_FULL.set(0)
        await asyncio.sleep(LOOK_EVERY_S)
