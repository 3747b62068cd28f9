"""Measures: what is looked at when somebody asks for it, and costs nothing between two looks.

The gauges of the disk, the stores and the upstreams are set here, at a scrape. What cannot be measured in time keeps
its last value: a disk that hangs must not hide what else there is to see.
"""

import asyncio
import time
from typing import Final

from mirror import __version__, telemetry
from mirror.registry.upstreams import Upstreams
from mirror.store.files import Files
from mirror.store.index import Index
from mirror.store.sizes import Sizes, measure
from mirror.upstream.health import Standing

DISK_S_MAX: Final = 2.0  # statvfs answers from memory; after this the disk hangs


class Measures:
    """The measures of one node."""

    def __init__(self, files: Files, index: Index, upstreams: Upstreams) -> None:
        self._files = files
        self._index = index
        self._upstreams = upstreams
        self._told: set[str] = set()
        self.sizes = Sizes()
        telemetry.BUILD.labels(__version__).set(1)

    async def take(self) -> None:
        """Look at everything, and set the gauges."""
        telemetry.take_in()
        self._tell_upstreams()
        try:
            async with asyncio.timeout(DISK_S_MAX):
                self.sizes = await measure(self._files, self._index)
        except (TimeoutError, OSError) as error:
            telemetry.log.warning("disk not measured", reason=str(error) or "it does not answer")
            return
        telemetry.DISK_FREE.set(self.sizes.disk_free)
        telemetry.DISK_SIZE.set(self.sizes.disk)
        telemetry.DATABASE_SIZE.set(self.sizes.database)
        telemetry.INDEX_USED.set(self.sizes.index_used)
        telemetry.INDEX_SIZE.set(self.sizes.index)
        telemetry.STORE_BLOBS.set(self.sizes.blobs)
        telemetry.STORE_BYTES.set(self.sizes.blob_bytes)

    def standings(self) -> dict[str, Standing]:
        """Say how each upstream stands; of several registries' upstreams by one name the one that is worst off."""
        now = time.monotonic()
        found: dict[str, Standing] = {}
        for upstream in self._upstreams.all():
            standing = upstream.standing(now)
            if upstream.rule.name not in found or not standing.reachable:
                found[upstream.rule.name] = standing
        return found

    def _tell_upstreams(self) -> None:
        standings = self.standings()
        for name, standing in standings.items():
            telemetry.UPSTREAM_REACHABLE.labels(name).set(standing.reachable)
            if standing.calls_left is not None:
                telemetry.UPSTREAM_BUDGET.labels(name).set(standing.calls_left)
        for name in self._told - standings.keys():
            telemetry.UPSTREAM_REACHABLE.remove(name)
        self._told = set(standings)
