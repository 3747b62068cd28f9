"""The socket by which the machine's administrator reaches the node: who may open it is the system's to say.

Source: unix(7): SO_PEERCRED is what the kernel knows of the other side; the socket file's mode is 0600, in a directory
of 0700. Never: a port.
"""

import os
import socket
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from mirror.oci.errors import Denied
from mirror.store.disk import FILE_MODE

NAME: Final = "admin.sock"  # under the storage root
_ADDRESS_BYTES_MAX: Final = 107  # unix(7): sun_path has 108, with a NUL at its end
_PEER: Final = struct.Struct("3i")  # struct ucred: pid, uid, gid


def open_socket(path: Path) -> socket.socket:
    """Bind a socket that only this user may open, over one that a dead node left. Raises OSError. Blocks."""
    with suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        # Before the name is there: bind gives the file the mode that the socket has, so it never has another.
        os.fchmod(sock.fileno(), FILE_MODE)
        with near(path) as address:
            sock.bind(address)
    except BaseException:
        sock.close()
        raise
    return sock


@contextmanager
def near(path: Path) -> Iterator[str]:
    """Give an address of `path` that the kernel takes, however deep it lies, while the block lasts."""
    if len(os.fsencode(path)) <= _ADDRESS_BYTES_MAX:
        yield os.fspath(path)
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def check_peer(transport: Any) -> None:
    """Raise Denied unless the other side is this user or root. Root may read the store anyway."""
    sock = transport.get_extra_info("socket") if transport is not None else None
    if sock is None or sock.family != socket.AF_UNIX:
        raise Denied("administration is for the node's own socket")
    _, uid, _ = _PEER.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    if uid not in (0, os.geteuid()):
        raise Denied(f"user {uid} is not the node's")
