"""What operators and their machines ask: alive, ready, counters."""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from mirror import telemetry
from mirror.web.distribution import answer


class Ops:
    """Handlers of /healthz, /readyz and /metrics. `ready` returns "" or what is in the way; `measure` sets gauges."""

    def __init__(self, ready: Callable[[], str], measure: Callable[[], Awaitable[None]]) -> None:
        self._ready = ready
        self._measure = measure

    async def healthz(self, request: web.BaseRequest) -> web.StreamResponse:  # noqa: ARG002
        """Alive: the loop answers."""
        return answer(200, [("Content-Type", "text/plain")], b"ok\n")

    async def readyz(self, request: web.BaseRequest) -> web.StreamResponse:  # noqa: ARG002
        """Ready: the store answers and the node is not going down."""
        fault = self._ready()
        return answer(503 if fault else 200, [("Content-Type", "text/plain")], f"{fault or 'ok'}\n".encode())

    async def metrics(self, request: web.BaseRequest) -> web.StreamResponse:  # noqa: ARG002
        """Counters, and gauges as they are now."""
        await self._measure()
        telemetry.READY.set(not self._ready())
        body = await asyncio.to_thread(telemetry.exposition)
        return answer(200, [("Content-Type", "text/plain; version=0.0.4; charset=utf-8")], body)
