"""The server: one connection, one protocol object; a cap on them, a clock on them, and the express lane.

Private attributes of aiohttp's RequestHandler tell whether a connection is idle. When a version lacks one, the lane is
off and a log line says so; nothing else depends on them.
"""

import asyncio
import resource
from typing import Any, Final

from aiohttp import web, web_protocol

from mirror import telemetry
from mirror.web.express import REQUEST_BYTES_MAX, Express, Verdict
from mirror.web.slow import SlowClock

KEEPALIVE_S: Final = 15.0  # also the clock on half-sent headers (RELIABILITY finding 4)
READ_BUFFER_BYTES: Final = 256 * 1024  # of an upload's body, per connection
SPARE_FDS: Final = 64  # kept for files and the database when every connection is taken
FDS_PER_CONNECTION: Final = 2  # a socket, and the file that it sends
_REFUSAL: Final = b"\r\n".join(
    [b"HTTP/1.1 503 Service Unavailable", b"Connection: close", b"Retry-After: 1", b"Content-Length: 0", b"", b""]
)
_NEEDED: Final = (
    *("_waiter", "_messages", "_request_count", "_request_in_progress", "_force_close", "_close"),
    *("_next_keepalive_close_time", "_keepalive_timeout", "_upgraded"),
)


def connections_max() -> int:
    """Raise this process's limit of open files as far as it may, and say how many connections fit under it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    limit = 1_000_000 if hard == resource.RLIM_INFINITY else hard
    return max(8, (limit - SPARE_FDS) // FDS_PER_CONNECTION)


class Connection(web_protocol.RequestHandler):
    """A client's connection."""

    __slots__ = ("_lane_open", "_server")

    def __init__(self, server: "Server", **options: Any) -> None:
        super().__init__(server, **options)
        self._server = server
        self._lane_open = server.express is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        telemetry.CONNECTIONS.inc()
        if len(self._server.connections) > self._server.connections_max:
            telemetry.CONNECTIONS_REFUSED.inc()
            transport.write(_REFUSAL)  # type: ignore[attr-defined] # a stream's transport
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        telemetry.CONNECTIONS.dec()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not keep up: from now on the clock is on it."""
        super().pause_writing()
        if self.transport is not None:
            self._server.slow.start(self.transport, "write")

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.transport is not None:
            self._server.slow.stop(self.transport)

    def data_received(self, data: bytes) -> None:
        if self._lane_open and self._answer(data):
            return
        super().data_received(data)

    def _answer(self, data: bytes) -> bool:
        """Answer one whole, usual request on an idle connection. False = the normal way."""
        line, end, rest = data.partition(b"\r\n")
        parts = line.split(b" ")
        if (
            len(data) > REQUEST_BYTES_MAX
            or len(parts) != 3
            or parts[0] not in (b"GET", b"HEAD")
            or parts[2] != b"HTTP/1.1"
            or data.find(b"\r\n\r\n") != len(data) - 4
        ):
            self._lane_open = False  # what comes next may be a body
            return False
        express = self._server.express
        assert express is not None
        verdict = express.verdict(end + rest)
        if verdict is not Verdict.EXPRESS or not self._idle():
            self._lane_open = verdict is not Verdict.OUT
            return False
        answer = express.answer(parts[0], parts[1], self._remote)
        if answer is None:
            return False
        self.transport.writelines(answer)  # type: ignore[union-attr] # an idle connection has a transport
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        return True

    def _idle(self) -> bool:
        """Tell whether nothing is queued, being read, being answered or waiting to be sent."""
        waiter = self._waiter
        return (
            (not waiter.done() if waiter is not None else not self._request_count and not self._request_in_progress)
            and not self._messages
            and not self._force_close
            and not self._close
            and not self._upgraded
            and self.transport is not None
            and not self.transport.get_write_buffer_size()
        )

    def _remote(self) -> str | None:
        peer = self.peername
        return peer[0] if isinstance(peer, tuple) else peer


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
        self.express = express if lane_possible() else None
        self.slow = slow
        self.connections_max = connections_max
        if self.express is None and express is not None:
            telemetry.log.warning("express lane is off: this aiohttp does not have the attributes it needs")

    def __call__(self) -> Connection:
        return Connection(self, loop=self._loop, **self._kwargs)


def lane_possible() -> bool:
    """Tell whether aiohttp's connection object has what the lane looks at."""
    return all(hasattr(web_protocol.RequestHandler, name) or name in _slots() for name in _NEEDED)


def _slots() -> set[str]:
    classes = web_protocol.RequestHandler.__mro__
    return {slot for owner in classes for slot in getattr(owner, "__slots__", ())}
