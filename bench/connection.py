"""One HTTP/1.1 connection on a raw socket: as little work a request as Python allows, and a body read without a copy.

Knows only what registries answer: a Content-Length, no chunks. Every wait is bounded by ANSWER_S_MAX.
"""

import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ANSWER_S_MAX: Final = 60.0  # a whole cold blob on a busy machine
HEAD_BYTES_MAX: Final = 65_536
READ_BYTES: Final = 1 << 20
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_LOCATION: Final = re.compile(rb"\r\nlocation: *([^\r]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Answer:
    """The head of an answer; `left` bytes of its body have not been read yet."""

    status: int
    head: bytes
    length: int
    left: int

    @property
    def location(self) -> str:
        found = _LOCATION.search(self.head)
        assert found, "the answer has no Location"
        return found[1].decode()


class Connection:
    """A blocking connection to a loopback port."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), ANSWER_S_MAX)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.waste = bytearray(READ_BYTES)

    def fileno(self) -> int:
        return self.socket.fileno()

    def send(self, head: bytes) -> None:
        self.socket.sendall(head)

    def send_file(self, head: bytes, path: Path) -> None:
        self.socket.sendall(head)
        with path.open("rb") as body:
            self.socket.sendfile(body)

    def read_head(self, with_body: bool = True) -> Answer:
        """Read to the end of the head and whatever of the body came with it. Raises ConnectionError when cut off."""
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0:
            piece = self.socket.recv(HEAD_BYTES_MAX)
            if not piece:
                raise ConnectionError("cut off in the head")
            data += piece
        found = _LENGTH.search(data, 0, end + 2)
        length = int(found[1]) if found and with_body else 0
        return Answer(int(data[9:12]), data[: end + 2], length, length - (len(data) - end - 4))

    def drop(self, left: int) -> int:
        """Take up to `left` bytes of the body out of the kernel unseen; return how many. Raises ConnectionError."""
        # MSG_TRUNC on TCP discards in the kernel: the client's copying does not disturb the server's figures.
        got = self.socket.recv_into(self.waste, min(left, READ_BYTES), socket.MSG_TRUNC)
        if not got:
            raise ConnectionError("cut off in the body")
        return got

    def answer(self, with_body: bool = True) -> Answer:
        """Read one answer whole."""
        answer = self.read_head(with_body)
        left = answer.left
        while left:
            left -= self.drop(left)
        return answer

    def close(self) -> None:
        self.socket.close()


def request(method: str, path: str, headers: str = "") -> bytes:
    """Write the head of a request; `headers` are whole lines, each ended by CRLF."""
    return f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n".encode()


def push_blob(connection: Connection, name: str, digest: str, path: Path, size: int) -> None:
    """POST, then PUT with the whole body: what containerd, oras and regctl do. Raises AssertionError when refused."""
    connection.send(request("POST", f"/v2/{name}/blobs/uploads/", "Content-Length: 0\r\n"))
    started = connection.answer()
    assert started.status == 202, f"POST uploads: {started.status}"
    where = re.sub(r"^http://[^/]+", "", started.location)
    target = f"{where}{'&' if '?' in where else '?'}digest={digest}"
    headers = f"Content-Length: {size}\r\nContent-Type: application/octet-stream\r\n"
    connection.send_file(request("PUT", target, headers), path)
    done = connection.answer()
    assert done.status == 201, f"PUT upload: {done.status}"


def push_manifest(connection: Connection, name: str, reference: str, manifest: bytes, media_type: str) -> None:
    headers = f"Content-Length: {len(manifest)}\r\nContent-Type: {media_type}\r\n"
    connection.send(request("PUT", f"/v2/{name}/manifests/{reference}", headers) + manifest)
    status = connection.answer().status
    assert status == 201, f"PUT manifest: {status}"
