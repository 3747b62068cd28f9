"""Sweeping: upload sessions and partial fills that nobody came back for, and what the change log had long ago."""

import asyncio
import time
from typing import Final, Protocol

from mirror import telemetry
from mirror.jobs.rounds import told

SWEEP_EVERY_S: Final = 3_600.0  # what is swept is days old
LOG_S: Final = 30 * 86_400.0  # how long a consumer of the log, such as a webhook, may be away and miss nothing


class Uploads(Protocol):
    """What the sweep needs of the uploads."""

    async def sweep(self, now: float) -> list[str]: ...


class Log(Protocol):
    """What it needs of the change log."""

    async def prune(self, before: float) -> int: ...


async def sweep(uploads: Uploads, log: Log) -> None:
    """Sweep for ever."""
    while True:
        await told("sweep", _sweep(uploads, log), SWEEP_EVERY_S)
        await asyncio.sleep(SWEEP_EVERY_S)


async def _sweep(uploads: Uploads, log: Log) -> None:
    swept = await uploads.sweep(time.time())
    if swept:
        telemetry.log.info("swept stale uploads and fills", count=len(swept))
    while await log.prune(time.time() - LOG_S):
        pass
