"""The lag of the event loop: how late a timer comes is how long everything waits that the loop does."""

import asyncio
from collections import deque
from typing import Final

from mirror import telemetry

LOOK_S: Final = 0.1  # ten timers a second cost nothing, and a stall of a tenth of a second is seen
KEPT: Final = 100  # looks: the last ten seconds


async def watch_lag() -> None:
    """Measure for ever."""
    loop = asyncio.get_running_loop()
    lags: deque[float] = deque(maxlen=KEPT)
    while True:
        due_at = loop.time() + LOOK_S
        await asyncio.sleep(LOOK_S)
        lags.append(max(0.0, loop.time() - due_at))
        telemetry.LOOP_LAG.observe(lags[-1])
        telemetry.LOOP_LAG_MAX.set(max(lags))
