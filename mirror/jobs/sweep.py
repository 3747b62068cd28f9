"""Sweeping: upload sessions and partial fills that nobody came back for."""

import asyncio
import time
from typing import Final, Protocol

from mirror import telemetry

SWEEP_EVERY_S: Final = 3_600.0  # what is swept is days old


class Uploads(Protocol):
    """What the sweep needs of the uploads."""

    async def sweep(self, now: float) -> list[str]: ...


async def sweep(uploads: Uploads) -> None:
    """Sweep for ever."""
    while True:
        failed = False
        try:
            swept = await uploads.sweep(time.time())
        except OSError as error:
            failed = True
            telemetry.log.warning("sweep failed", reason=str(error))
        else:
            if swept:
                telemetry.log.info("swept stale uploads and fills", count=len(swept))
        now = time.time()
        telemetry.job_ended("sweep", now, now + SWEEP_EVERY_S, failed=failed)
        await asyncio.sleep(SWEEP_EVERY_S)
