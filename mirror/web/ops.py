"""What operators and their machines ask: alive, ready, counters."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from mirror import telemetry
from mirror.web.distribution import answer

READY_PATH: Final = "/readyz"
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Readiness:
    """What keeps the node from its work, and what it works without: a line each, beginning with the part's name."""

    faults: tuple[str, ...]
    warnings: tuple[str, ...]


class Ops:
    """Handlers of /healthz, /readyz and /metrics. `ready` looks whether the node can work; `measure` sets gauges."""

    def __init__(self, ready: Callable[[], Awaitable[Readiness]], measure: Callable[[], Awaitable[None]]) -> None:
        self._ready = ready
        self._measure = measure

    async def healthz(self, request: web.BaseRequest) -> web.StreamResponse:  # noqa: ARG002
        """Alive: the loop answers."""
        return answer(200, [("Content-Type", "text/plain")], b"ok\n")

    async def readyz(self, request: web.BaseRequest) -> web.StreamResponse:  # noqa: ARG002
        """Ready: every part answers and the node is not going down. A line for each part that does not."""
        found = await self._ready()
        lines = [*(found.faults or ("ok",)), *found.warnings]
        body = "".join(f"{line}\n" for line in lines)
        return answer(503 if found.faults else 200, [("Content-Type", "text/plain")], body.encode())

    async def metrics(self, request: web.BaseRequest) -> web.StreamResponse:  # noqa: ARG002
        """Counters, and gauges as they are now."""
        await self._measure()
        telemetry.READY.set(not (await self._ready()).faults)
        body = await asyncio.to_thread(telemetry.exposition)
        return answer(200, [("Content-Type", "text/plain; version=0.0.4; charset=utf-8")], body)

    def before(self, handler: Handler) -> Handler:
        """Return `handler` with /readyz before it: for a socket that has its own table."""

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            is_asked = request.method == "GET" and request.path == READY_PATH
            return await (self.readyz(request) if is_asked else handler(request))

        return handle
