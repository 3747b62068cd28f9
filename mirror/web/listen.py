"""The sockets the node listens on: its own, or those it inherits (systemd's socket activation)."""

import asyncio
import socket
import ssl
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from mirror.web.server import Server

BACKLOG: Final = 1_024  # connections that wait to be accepted; docker 20.10 opens one per request
ACCEPTS_MAX: Final = 16  # taken at one turn of the loop, before any of them is counted: far below SPARE_FDS
HANDSHAKE_S_MAX: Final = 10.0  # TLS; as KEEPALIVE_S for those that have not said a word yet
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
    server: Server, addresses: Sequence[Address], sockets: Sequence[socket.socket], tls: ssl.SSLContext | None
) -> list[asyncio.Server]:
    """Start accepting, on `sockets` where there are any, else on `addresses`. Raises OSError."""
    loop = asyncio.get_running_loop()
    options: dict[str, Any] = {"ssl": tls, "backlog": ACCEPTS_MAX}
    if tls is not None:
        options["ssl_handshake_timeout"] = HANDSHAKE_S_MAX
    opened: list[asyncio.Server] = []
    for sock in sockets:
        if sock.family == socket.AF_UNIX:
            opened.append(await loop.create_unix_server(server, sock=sock, **options, **_NAMED_ELSEWHERE))
        else:
            opened.append(await loop.create_server(server, sock=sock, **options))
    for address in () if sockets else addresses:
        if address.path:
            opened.append(await loop.create_unix_server(server, address.path, **options))
        else:
            opened.append(await loop.create_server(server, address.host, address.port, reuse_address=True, **options))
    for listening in opened:
        _lengthen(listening)
    return opened


def _lengthen(server: asyncio.Server) -> None:
    """Let the kernel queue BACKLOG connections: the loop takes `backlog` for the most to accept at one turn too."""
    for listening in server.sockets:
        with listening.dup() as sock:
            sock.listen(BACKLOG)


def names(servers: Sequence[asyncio.Server]) -> list[str]:
    """Say where the servers listen, as an operator writes it."""
    found: list[str] = []
    for server in servers:
        for sock in server.sockets:
            name = sock.getsockname()
            host = f"[{name[0]}]" if sock.family == socket.AF_INET6 else name[0]
            found.append(f"unix:{name}" if isinstance(name, str) else f"{host}:{name[1]}")
    return found
