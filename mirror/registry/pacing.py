"""Pacing: fills that no client waits for give way to those that clients wait for, and keep to a cap.

Source: issue section "Any registry": "in idle bandwidth, after what clients ask for". A fill in the background is at
full speed from the moment that a client joins it.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import suppress
from typing import Final

from mirror.upstream.throttle import Throttle

PAUSE_S_MAX: Final = 1.0  # between two chunks: no upstream calls that a stall, and nothing starves for ever
TURN_S_MAX: Final = 30.0  # before a blob


class Clients:
    """How many fills there are that clients wait for."""

    def __init__(self) -> None:
        self._count = 0
        self._none = asyncio.Event()
        self._none.set()

    def came(self) -> None:
        """Count a fill that a client waits for."""
        self._count += 1
        self._none.clear()

    def left(self) -> None:
        """Take out one that has ended."""
        self._count -= 1
        if not self._count:
            self._none.set()

    async def gone(self, s_max: float) -> None:
        """Wait until there is none, for `s_max` seconds at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(s_max):
                await self._none.wait()


class Pace:
    """The pace of one fill in the background."""

    def __init__(self, clients: Clients, throttle: Throttle) -> None:
        self._clients = clients
        self._throttle = throttle
        self._hurried = False
        self._waiting: asyncio.Timeout | None = None

    def hurry(self) -> None:
        """Let the fill go as fast as it can, from now on: a client waits for it."""
        self._hurried = True
        if self._waiting is not None:
            self._waiting.reschedule(asyncio.get_running_loop().time())

    async def chunks(self, chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        """Pass chunks on, each in its time."""
        async for chunk in chunks:
            if not self._hurried:
                await self._wait(len(chunk))
            yield chunk

    async def _wait(self, count: int) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(None) as waiting:
                self._waiting = waiting
                try:
                    await self._throttle.take(count)
                    await self._clients.gone(PAUSE_S_MAX)
                finally:
                    self._waiting = None
