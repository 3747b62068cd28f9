"""What operators and their machines ask: alive, ready, counters."""

import asyncio
from collections.abc import Callable
from typing import Final

from aiohttp import web

from mirror import telemetry
from mirror.store.space import Space
from mirror.web.distribution import answer

FULL: Final = "disk: full; what is here is served, the rest passes through, pushes are refused\n"


class Ops:
    """Handlers of /healthz, /readyz and /metrics. `ready` returns "" or what is in the way."""

    def __init__(self, ready: Callable[[], str], space: Space) -> None:
        self._ready = ready
        self._space = space

    async def healthz(self, request: web.BaseRequest) -> web.StreamResponse:  # noqa: ARG002
        """Alive: the loop answers."""
        return answer(200, [("Content-Type", "text/plain")], b"ok\n")

    async def readyz(self, request: web.BaseRequest) -> web.StreamResponse:  # noqa: ARG002
        """Ready: the store answers and the node is not going down. On a full disk too: what is here is served."""
        fault = self._ready()
        text = f"{fault or 'ok'}\n{FULL if self._space.is_full else ''}"
        return answer(503 if fault else 200, [("Content-Type", "text/plain")], text.encode())

    async def metrics(self, request: web.BaseRequest) -> web.StreamResponse:  # noqa: ARG002
        telemetry.take_in()
        body = await asyncio.to_thread(telemetry.exposition)
        return answer(200, [("Content-Type", "text/plain; version=0.0.4; charset=utf-8")], body)
