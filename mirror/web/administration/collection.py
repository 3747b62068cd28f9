"""Blobs that nothing names any more: counted, or removed now.

{"blobs": 12, "bytes": 34567890, "waiting": 3}        what went or would go; what is still within its grace time
"""

from collections.abc import Mapping
from typing import Any, Protocol

from mirror.store.collection import Tally
from mirror.web.administration.asks import Collect, Forecast
from mirror.web.administration.desk import Verbs


class Collector(Protocol):
    """What removes blobs that nothing names."""

    async def forecast(self) -> Tally: ...

    async def collect(self) -> Tally: ...


class CollectionDesk:
    """Answers `/collection`."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def verbs(self) -> Verbs:
        return {Forecast: self._forecast, Collect: self._collect}

    async def _forecast(self, _: str, __: Forecast) -> Mapping[str, Any]:
        return _tallied(await self._collector.forecast())

    async def _collect(self, _: str, __: Collect) -> Mapping[str, Any]:
        gone = await self._collector.collect()
        return _tallied(Tally(gone.blobs, gone.size, (await self._collector.forecast()).waiting))


def _tallied(tally: Tally) -> Mapping[str, Any]:
    return {"blobs": tally.blobs, "bytes": tally.size, "waiting": tally.waiting}
