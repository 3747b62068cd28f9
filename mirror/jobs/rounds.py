"""Rounds of jobs that go on for ever: how one ended, and when the next begins, is told.

What the disk or the registry refuses is logged and no reason to stop; anything else is a fault of ours, and raised.
"""

import time
from collections.abc import Awaitable

from mirror import telemetry
from mirror.oci.errors import RegistryError


async def told(job: str, work: Awaitable[object], every_s: float) -> None:
    """Do a round, after which the next comes in `every_s`. False of `work` says that it failed, as a refusal does."""
    try:
        failed = await work is False
    except (RegistryError, OSError) as error:
        failed = True
        telemetry.log.warning(f"{job} failed", reason=str(error))
    now = time.time()
    telemetry.job_ended(job, now, now + every_s, failed=failed)
