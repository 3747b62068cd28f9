"""The sockets the node listens on: its own, or those it inherits (systemd's socket activation)."""

import asyncio
import socket
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from mirror.web.server import Server

BACKLOG: Final = 1_024  # connections that wait to be accepted; docker 20.10 opens one per request
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
    server: Server, addresses: Sequence[Address], sockets: Sequence[socket.socket], tls: ssl.SSLContext | None
) -> list[asyncio.Server]:
    """Start accepting, on `sockets` where there are any, else on `addresses`. Raises OSError."""
    loop = asyncio.get_running_loop()
    if sockets:
        return [await loop.create_server(server, sock=sock, ssl=tls, backlog=BACKLOG) for sock in sockets]
    opened: list[asyncio.Server] = []
    for address in addresses:
        if address.path:
            await asyncio.to_thread(Path(address.path).unlink, missing_ok=True)
            opened.append(await loop.create_unix_server(server, address.path, ssl=tls, backlog=BACKLOG))
        else:
            opened.append(
                await loop.create_server(
                    server, address.host, address.port, ssl=tls, backlog=BACKLOG, reuse_address=True
                )
            )
    return opened


def names(servers: Sequence[asyncio.Server]) -> list[str]:
    """Say where the servers listen, as an operator writes it."""
    found: list[str] = []
    for server in servers:
        for sock in server.sockets:
            name = sock.getsockname()
            found.append(f"unix:{name}" if isinstance(name, str) else f"{name[0]}:{name[1]}")
    return found
