"""Accepts connections on the sockets of one address, and hands each to the server.

Ours, and not the event loop's: a server of asyncio's that is closed breaks whom it has accepted and not yet made a
connection of, and aiofastnet 1.2.0 ends its listening for good where descriptors are short.
"""

import asyncio
import errno
import socket
import ssl
from typing import Final

import aiofastnet

from mirror import telemetry
from mirror.registry.flights import Spawn
from mirror.web.server import Server

BACKLOG: Final = 1_024  # connections that wait to be accepted; docker 20.10 opens one per request
ACCEPTS_MAX: Final = 16  # taken at one turn of the loop, before any of them is counted: far below SPARE_FDS
HANDSHAKE_S_MAX: Final = 10.0  # TLS; as KEEPALIVE_S for those that have not said a word yet
ENTER_S_MAX: Final = 1.0  # how long a stop waits for handshakes that have begun: a round trip by satellite takes 0.6 s
PAUSE_S: Final = 1.0  # before the next attempt where the machine has no descriptors or memory to accept with
_SHORT: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Listener:
    """Listens from its making on. `bound` holds the address, and never serves."""

    def __init__(self, server: Server, bound: asyncio.Server, tls: ssl.SSLContext | None, spawn: Spawn) -> None:
        self._loop = asyncio.get_running_loop()
        self._server = server
        self._bound = bound
        self._tls = tls
        self._spawn = spawn
        self._entering: set[asyncio.Task[None]] = set()
        self.sockets = [sock.dup() for sock in bound.sockets]
        for sock in self.sockets:
            sock.setblocking(False)
            sock.listen(BACKLOG)
            self._loop.add_reader(sock, self._accept, sock)

    async def close(self) -> None:
        """Accept nobody any more, and let the server have who was accepted; who waits is the kernel's."""
        for sock in self.sockets:
            self._loop.remove_reader(sock)
            sock.close()
        self._bound.close()
        if self._entering:
            _, late = await asyncio.wait(self._entering, timeout=ENTER_S_MAX)
            for task in late:
                task.cancel()

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(ACCEPTS_MAX):
            try:
                sock, _ = listening.accept()
            except OSError as error:  # the usual one: nobody waits. accept(2): others are those of who came, and left
                if error.errno in _SHORT:
                    self._pause(listening, error)
                return
            task = self._spawn(self._enter(sock), "connection")
            self._entering.add(task)
            task.add_done_callback(self._entering.discard)

    async def _enter(self, sock: socket.socket) -> None:
        handshake_s = None if self._tls is None else HANDSHAKE_S_MAX
        try:
            await aiofastnet.connect_accepted_socket(
                self._loop, self._server, sock, ssl=self._tls, ssl_handshake_timeout=handshake_s
            )
        except OSError as error:  # a port scanner's handshake is no failure of ours
            telemetry.log.debug("client left", reason=repr(error))
            sock.close()

    def _pause(self, listening: socket.socket, error: OSError) -> None:
        telemetry.log.warning("connections wait", reason=str(error), pause_s=PAUSE_S)
        self._loop.remove_reader(listening)
        self._loop.call_later(PAUSE_S, self._resume, listening)

    def _resume(self, listening: socket.socket) -> None:
        if listening.fileno() >= 0:
            self._loop.add_reader(listening, self._accept, listening)
