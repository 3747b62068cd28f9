"""A client's connection: counted, under a clock, with the express lane in front of aiohttp's way.

Private attributes of aiohttp's RequestHandler tell whether a connection is idle. When a version lacks one, the lane is
off (`lane_possible`); nothing else depends on them.
"""

import asyncio
import io
import os
from contextlib import suppress
from functools import partial
from typing import Any, Final, cast

from aiohttp import web, web_protocol

from mirror import telemetry
from mirror.oci.errors import RegistryError, RequestInvalid
from mirror.web.blocks import Verdict
from mirror.web.express import Express, FileAnswer
from mirror.web.express_log import answer_noted
from mirror.web.refusals import refuse
from mirror.web.slow import SlowClock

MESSAGE_CHARS_MAX: Final = 200  # of what a parser says about a stranger's bytes
_REFUSAL: Final = b"\r\n".join(
    [b"HTTP/1.1 503 Service Unavailable", b"Connection: close", b"Retry-After: 1", b"Content-Length: 0", b"", b""]
)
_NEEDED: Final = (
    *("_waiter", "_messages", "_request_count", "_request_in_progress", "_force_close", "_close"),
    *("_next_keepalive_close_time", "_keepalive_timeout", "_upgraded"),
)


class Lobby:
    """What connections share: the lane (None = off), the clock, and how many of them there are."""

    def __init__(self, *, express: Express | None, slow: SlowClock, connections_max: int) -> None:
        self.express = express if lane_possible() else None
        self.slow = slow
        self.connections_max = connections_max
        self.connections = 0
        self.is_leaving = False
        self._all_left = asyncio.Event()
        if self.express is None and express is not None:
            telemetry.log.warning("express lane is off: this aiohttp does not have the attributes it needs")

    def enter(self) -> bool:
        """Count a connection; tell whether it may stay."""
        self.connections += 1
        telemetry.CONNECTIONS.inc()
        return self.connections <= self.connections_max

    def leave(self) -> None:
        self.connections -= 1
        telemetry.CONNECTIONS.dec()
        if not self.connections:
            self._all_left.set()

    def dismiss(self) -> None:
        """From now on each answer is its connection's last; the lane, whose answers never are, is closed."""
        self.is_leaving = True
        self.express = None

    async def emptied(self, within_s: float) -> None:
        """Wait until no connection is left, for so long at most."""
        self._all_left.clear()
        if self.connections:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._all_left.wait(), within_s)


class Connection(web_protocol.RequestHandler):
    """A client's connection."""

    __slots__ = ("_lane_open", "_sending", "_wire", "lobby")

    def __init__(self, server: web.Server, lobby: Lobby, **options: Any) -> None:
        super().__init__(server, **options)
        self.lobby = lobby
        self._lane_open = False
        self._sending: asyncio.Future[None] | None = None
        self._wire: asyncio.Transport  # aiohttp forgets its `transport` when it closes it, bytes in it or not

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._wire = cast("asyncio.Transport", transport)
        # A single byte that waits puts the client under the clock, not only the 64 KiB of asyncio's default.
        self._wire.set_write_buffer_limits(high=0)
        # TLS without the kernel's help cannot take a file.
        self._lane_open = self.lobby.express is not None and getattr(self._wire, "_sendfile_compatible", False)
        if not self.lobby.enter():
            telemetry.CONNECTIONS_REFUSED.inc()
            self._wire.write(_REFUSAL)
            self._force_close = True
            # Not at once: a transport that is closed before it reads takes the reading of whoever gets its descriptor.
            self._loop.call_soon(self._loop.call_soon, self._wire.close)

    @property
    def peer(self) -> str:
        """The client's address; "" of a unix socket."""
        peer = self._wire.get_extra_info("peername")
        return str(peer[0]) if isinstance(peer, tuple) else ""

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lobby.leave()
        self.lobby.slow.forget(self._wire)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not keep up: from now on the clock is on it."""
        super().pause_writing()
        self.lobby.slow.start(self._wire, "write")

    def resume_writing(self) -> None:
        super().resume_writing()
        self.lobby.slow.stop(self._wire, "write")

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Refuse what could not even be read. A stranger's garbage is counted and not worth a log line."""
        if isinstance(exc, ConnectionError):
            raise exc  # the client has left, which is its right (CLIENTS quirk 7)
        request_id = telemetry.new_request_id()
        if status >= 500:
            telemetry.log.error("request failed", request_id=request_id, error=repr(exc), exc_info=exc)
        if request.writer.output_size:
            raise ConnectionResetError("an answer has begun: another one would be taken for its body")
        reason = f"the request cannot be read: {(message or '')[:MESSAGE_CHARS_MAX]}"
        response = refuse(RegistryError("the node failed to answer") if status >= 500 else RequestInvalid(reason))
        response.headers[telemetry.REQUEST_ID] = request_id
        response.force_close()
        telemetry.answered("other", "other", response.status, "normal")
        return response

    def data_received(self, data: bytes) -> None:
        if self._lane_open and self._answer(data):
            return
        super().data_received(data)

    def _answer(self, data: bytes) -> bool:
        """Answer one whole, usual request on an idle connection. False = the normal way."""
        express = self.lobby.express
        if express is None:
            return False
        wanted = express.remembered.get(data) or express.read(data)
        if isinstance(wanted, Verdict):
            self._lane_open = wanted is not Verdict.OUT
            return False
        if not self._idle():
            return False
        is_noted = express.access.enabled
        answer = answer_noted(express, data, wanted, self._remote()) if is_noted else express.answer(wanted)
        if answer is None:
            return False
        if isinstance(answer, bytes):
            self._wire.write(answer)
        else:
            self._send_file(answer)
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        return True

    def _send_file(self, answer: FileAnswer) -> None:
        """Hand a head and a file to the transport, which sends them in order with what may follow."""
        file = io.FileIO(answer.descriptor)
        try:
            self._wire.write(answer.head)
            sending = self._wire.sendfile(file, 0, answer.size)  # type: ignore[attr-defined] # aiofastnet's own
        except (OSError, RuntimeError) as error:
            file.close()
            if not self._wire.is_closing():
                raise
            telemetry.log.debug("client left", reason=repr(error))
            return
        if sending is None:
            self._end_file(file, answer.size)
        else:
            self._sending = sending
            sending.add_done_callback(partial(self._sent, file, answer.size))

    def _end_file(self, file: io.FileIO, size: int) -> None:
        """Close a file that was sent; break the connection when it has become shorter meanwhile."""
        if os.fstat(file.fileno()).st_size < size:
            self._wire.abort()
        file.close()

    def _sent(self, file: io.FileIO, size: int, sending: "asyncio.Future[None]") -> None:
        self._end_file(file, size)
        if self._sending is sending:  # else the next file is under way already
            self._sending = None
        if not sending.cancelled():
            sending.exception()  # a client who left is no error
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout

    def _process_keepalive(self) -> None:
        """A connection that is being sent a file is not idle, though no handler is at work."""
        if self._sending is not None:
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        super()._process_keepalive()

    async def shutdown(self, timeout: float | None = 15.0) -> None:
        """Let the file that is being sent go out, for `timeout` seconds at most, as a handler's answer may."""
        if self._sending is not None:
            await asyncio.wait({self._sending}, timeout=timeout)
        await super().shutdown(timeout)

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
            and not self._wire.get_write_buffer_size()
        )

    def _remote(self) -> str | None:
        peer = self.peername
        return peer[0] if isinstance(peer, tuple) else peer


def lane_possible() -> bool:
    """Tell whether aiohttp's connection object has what the lane looks at."""
    return all(hasattr(web_protocol.RequestHandler, name) or name in _slots() for name in _NEEDED)


def _slots() -> set[str]:
    classes = web_protocol.RequestHandler.__mro__
    return {slot for owner in classes for slot in getattr(owner, "__slots__", ())}
