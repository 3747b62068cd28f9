"""The server: makes connections, caps them below the limit of open files, and lets them end in time."""

import asyncio
import resource
from collections import Counter
from contextlib import suppress
from typing import Any, Final

from aiohttp import web

from mirror.web.connection import Connection, Lobby
from mirror.web.express import Express
from mirror.web.slow import SlowClock

KEEPALIVE_S: Final = 15.0  # also the clock on half-sent headers (RELIABILITY finding 4)
READ_BUFFER_BYTES: Final = 256 * 1024  # of an upload's body, per connection
SPARE_FDS: Final = 128  # for the store, upstreams, and connections that are accepted and not yet counted or closed
FLUSH_S_MAX: Final = 5.0  # how long a stop waits for the last bytes of answers that are done
FDS_PER_CONNECTION: Final = 2  # a socket, and the file that it sends


def connections_max() -> int:
    """Raise this process's limit of open files as far as it may, and say how many connections fit under it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    limit = 1_000_000 if hard == resource.RLIM_INFINITY else hard
    return max(8, (limit - SPARE_FDS) // FDS_PER_CONNECTION)


class Server(web.Server):
    """Makes connections."""

    def __init__(
        self, handler: Any, *, express: Express | None, slow: SlowClock, connections_max: int, **options: Any
    ) -> None:
        super().__init__(
            handler,
            access_log=None,
            auto_decompress=False,  # a coded body is refused, never unpacked (RELIABILITY finding 3)
            keepalive_timeout=KEEPALIVE_S,
            read_bufsize=READ_BUFFER_BYTES,
            **options,
        )
        self.lobby = Lobby(express=express, slow=slow, connections_max=connections_max)

    def __call__(self) -> Connection:
        return Connection(self, self.lobby, loop=self._loop, **self._kwargs)

    def busiest(self, limit: int) -> tuple[int, list[tuple[str, int]]]:
        """Return how many connections are open, and up to `limit` addresses of clients that have the most of them."""
        peers = Counter(one.peer for one in self.connections if isinstance(one, Connection))
        return peers.total(), peers.most_common(limit)

    async def shutdown(self, timeout: float | None = None) -> None:
        """Let transfers finish within `timeout` seconds, then let their last bytes leave this process."""
        await super().shutdown(timeout)
        self.lobby.all_left.clear()
        if self.lobby.connections:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.lobby.all_left.wait(), FLUSH_S_MAX)
