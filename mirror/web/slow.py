"""A clock on slow clients: aiohttp has none on bodies and readers (RELIABILITY finding 4).

Watched is who is being waited for: a connection whose writing is paused because the client does not read, or whose
body is awaited. The kernel counts what was acknowledged and received (`tcp_info`), so the count is the same for
memory, sendfile and TLS, and costs nothing per byte.
"""

import asyncio
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal

from mirror import telemetry

RATE_BYTES_S_MIN: Final = 1024  # below it a transfer is an attack or a dead link
WINDOW_S: Final = 30.0  # measured over this, so that a short pause is forgiven
LOOK_EVERY_S: Final = 5.0
assert LOOK_EVERY_S < WINDOW_S

_COUNTS: Final = struct.Struct("=120xQQ")  # linux/tcp.h: tcpi_bytes_acked, tcpi_bytes_received

Direction = Literal["read", "write"]


class _Watched:
    """A transfer under the clock: since when, and what the kernel had counted then."""

    __slots__ = ("counted", "since")

    def __init__(self, counted: int, since: float) -> None:
        self.counted = counted
        self.since = since


class SlowClock:
    """Aborts connections that move fewer than RATE_BYTES_S_MIN over WINDOW_S while somebody waits for them."""

    def __init__(self, *, window_s: float = WINDOW_S, look_every_s: float = LOOK_EVERY_S) -> None:
        self._window_s = window_s
        self._look_every_s = look_every_s
        self._watched: dict[tuple[asyncio.BaseTransport, Direction], _Watched] = {}

    def start(self, transport: asyncio.BaseTransport, direction: Direction) -> None:
        moved = _moved(transport, direction)
        if moved is not None:
            self._watched[transport, direction] = _Watched(moved, asyncio.get_running_loop().time())

    def stop(self, transport: asyncio.BaseTransport, direction: Direction) -> None:
        self._watched.pop((transport, direction), None)

    def forget(self, transport: asyncio.BaseTransport) -> None:
        """Stop watching a connection that is gone."""
        self.stop(transport, "read")
        self.stop(transport, "write")

    @contextmanager
    def reading(self, transport: asyncio.BaseTransport | None) -> Iterator[None]:
        """Watch a connection whose body is awaited."""
        if transport is None:
            raise ConnectionResetError("the client has left")
        self.start(transport, "read")
        try:
            yield
        finally:
            self.stop(transport, "read")

    async def run(self) -> None:
        """Look at all watched connections, for ever."""
        while True:
            await asyncio.sleep(self._look_every_s)
            now = asyncio.get_running_loop().time()
            for (transport, direction), watched in list(self._watched.items()):
                self._look(transport, direction, watched, now)

    def _look(self, transport: Any, direction: Direction, watched: _Watched, now: float) -> None:
        if now - watched.since < self._window_s:
            return
        moved = _moved(transport, direction)
        if moved is None:
            self.stop(transport, direction)
            return
        # Reading is paused when our own disk does not keep up: nobody is blamed for that.
        waited_for = direction == "write" or transport.is_reading()
        if waited_for and moved - watched.counted < RATE_BYTES_S_MIN * (now - watched.since):
            telemetry.slow_closed(direction)
            self.forget(transport)
            transport.abort()
        else:
            watched.counted, watched.since = moved, now


def _moved(transport: asyncio.BaseTransport, direction: Direction) -> int | None:
    """Return the bytes that the kernel has moved one way; None for a socket that is not TCP: those are trusted."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    try:
        acked, received = _COUNTS.unpack(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _COUNTS.size))
    except OSError:
        return None
    return int(acked if direction == "write" else received)
