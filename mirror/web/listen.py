"""The sockets the node listens on: its own, or those it inherits (systemd's socket activation)."""

import asyncio
import socket
import ssl
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from mirror.registry.flights import Spawn
from mirror.web.listener import Listener
from mirror.web.server import Server

_NAMED_ELSEWHERE: Final[dict[str, Any]] = {"cleanup_socket": False}  # the name is whose who bound it
FIRST_INHERITED: Final = 3  # sd_listen_fds(3): SD_LISTEN_FDS_START


class Address(Protocol):
    """Where to listen: `path` of a unix socket, or `host` and `port`."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def path(self) -> str: ...


def inherited(environment: Mapping[str, str], pid: int) -> list[socket.socket]:
    """Return the sockets that were opened for this process before it began. Source: sd_listen_fds(3)."""
    if environment.get("LISTEN_PID") != str(pid):
        return []
    count = int(environment.get("LISTEN_FDS", "0"))
    return [socket.socket(fileno=FIRST_INHERITED + number) for number in range(count)]


async def listen(
    server: Server,
    addresses: Sequence[Address],
    sockets: Sequence[socket.socket],
    tls: ssl.SSLContext | None,
    spawn: Spawn,
) -> list[Listener]:
    """Start accepting, on `sockets` where there are any, else on `addresses`. Raises OSError."""
    bound = [await _take(server, sock) for sock in sockets] or [await _bind(server, address) for address in addresses]
    return [Listener(server, one, tls, spawn) for one in bound]


async def _take(server: Server, sock: socket.socket) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    if sock.family == socket.AF_UNIX:
        return await loop.create_unix_server(server, sock=sock, start_serving=False, **_NAMED_ELSEWHERE)
    return await loop.create_server(server, sock=sock, start_serving=False)


async def _bind(server: Server, address: Address) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    if address.path:
        return await loop.create_unix_server(server, address.path, start_serving=False)
    return await loop.create_server(server, address.host, address.port, reuse_address=True, start_serving=False)


def names(listeners: Sequence[Listener]) -> list[str]:
    """Say where they listen, as an operator writes it."""
    found: list[str] = []
    for listener in listeners:
        for sock in listener.sockets:
            name = sock.getsockname()
            host = f"[{name[0]}]" if sock.family == socket.AF_INET6 else name[0]
            found.append(f"unix:{name}" if isinstance(name, str) else f"{host}:{name[1]}")
    return found
