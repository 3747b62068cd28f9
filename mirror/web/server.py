"""The server: makes connections, caps them below the limit of open files, and lets them end in time."""

import resource
from collections import Counter
from typing import Any, Final

from aiohttp import web

from mirror.web.connection import Connection, Lobby
from mirror.web.express import Express
from mirror.web.slow import SlowClock

KEEPALIVE_S: Final = 15.0  # also the clock on half-sent headers (RELIABILITY finding 4)
READ_BUFFER_BYTES: Final = 256 * 1024  # of an upload's body, per connection
SPARE_FDS: Final = 128  # for the store, upstreams, and connections that are accepted and not yet counted or closed
LAST_ASKED_S: Final = 1.0  # how long a stop waits for requests on their way: a round trip by satellite takes 0.6 s
FLUSH_S_MAX: Final = 5.0  # how long a stop waits for the last bytes of answers that are done
DRAIN_PARTS: Final = 2  # aiohttp lets a handler finish, and then end after it is cancelled: each as long as it may take
FDS_PER_CONNECTION: Final = 2  # a socket, and the file that it sends


def connections_max() -> int:
    """Raise this process's limit of open files as far as it may, and say how many connections fit under it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    limit = 1_000_000 if hard == resource.RLIM_INFINITY else hard
    return max(8, (limit - SPARE_FDS) // FDS_PER_CONNECTION)


def stop_s_max(drain_s: float) -> float:
    """Say how long a drain takes at most, where transfers may go on for `drain_s`."""
    return LAST_ASKED_S + DRAIN_PARTS * drain_s + FLUSH_S_MAX


class Request(web.BaseRequest):
    """A request whose connection is kept only while the node stays: asked when the head of the answer is written."""

    protocol: Connection

    @property
    def keep_alive(self) -> bool:
        return not self._message.should_close and not self.protocol.lobby.is_leaving


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
            request_factory=self._request,
            **options,
        )
        self.lobby = Lobby(express=express, slow=slow, connections_max=connections_max)

    def __call__(self) -> Connection:
        return Connection(self, self.lobby, loop=self._loop, **self._kwargs)

    def _request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> Request:
        return Request(message, payload, protocol, writer, task, self._loop)

    async def drain(self, drain_s: float) -> None:
        """End every connection: each with an answer to what is on its way already, transfers within `drain_s`."""
        self.lobby.dismiss()
        # Who connected just now has not asked yet, and who is kept alive may be asking: to close would break both.
        await self.lobby.emptied(min(LAST_ASKED_S, drain_s))
        self.pre_shutdown()
        await self.shutdown(drain_s)

    def busiest(self, limit: int) -> tuple[int, list[tuple[str, int]]]:
        """Return how many connections are open, and up to `limit` addresses of clients that have the most of them."""
        peers = Counter(one.peer for one in self.connections if isinstance(one, Connection))
        return peers.total(), peers.most_common(limit)

    async def shutdown(self, timeout: float | None = None) -> None:
        """Let transfers finish within `timeout` seconds, then let their last bytes leave this process."""
        await super().shutdown(timeout)
        await self.lobby.emptied(FLUSH_S_MAX)
