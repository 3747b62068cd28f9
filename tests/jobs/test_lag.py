"""The lag of the event loop: what holds it is seen."""

import asyncio
import time

from waiting import until

from mirror import telemetry
from mirror.jobs.lag import LOOK_S, watch_lag

HELD_S = 0.2


async def test_what_holds_the_loop_is_seen() -> None:
    """RELIABILITY: the loop's lag is what every client waits for."""
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watch_lag(), name="loop lag")
        await another_look()
        end = time.monotonic() + LOOK_S + HELD_S
        while time.monotonic() < end:
            """Nobody else has a turn."""
        await another_look()
        watching.cancel()
    assert telemetry.reading(telemetry.LOOP_LAG_MAX) >= HELD_S / 2


async def another_look() -> None:
    """Wait until the lag has been measured once more."""
    before = telemetry.readings(telemetry.LOOP_LAG, "_count")[()]

    async def looked() -> bool:
        return telemetry.readings(telemetry.LOOP_LAG, "_count")[()] > before

    await until(looked)
