"""Sending files: what cannot be completed is broken off, never left hanging and never padded."""

import asyncio
import io
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from running import RunningNode, running
from standin import sha256

LARGE = bytes(range(256)) * 4096 * 24  # 24 MiB: more than the kernel takes for a client that does not read
WAIT_S_MAX = 5.0


async def push(node: RunningNode) -> None:
    path = f"/v2/own/app/blobs/uploads/?digest={sha256(LARGE)}"
    async with node.request("POST", path, data=io.BytesIO(LARGE)) as response:
        assert response.status == 201


@pytest.mark.parametrize("line", ["X-Way: normal", "Accept: */*"], ids=["normal", "express"])
async def test_a_file_that_becomes_shorter_while_it_is_sent_breaks_the_connection(line: str, tmp_path: Path) -> None:
    """RELIABILITY G5: a client must never wait for, or take for the rest, what is not there."""
    async with running(tmp_path) as node:
        await push(node)
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(sock, (node.host, node.port))
            request = f"GET /v2/own/app/blobs/{sha256(LARGE)} HTTP/1.1\r\nHost: node\r\n{line}\r\n\r\n"
            await loop.sock_sendall(sock, request.encode())
            assert await loop.sock_recv(sock, 12) == b"HTTP/1.1 200"
            (file,) = (tmp_path / "blobs").rglob(sha256(LARGE).removeprefix("sha256:"))
            os.truncate(file, len(LARGE) - 1000)
            got = 0
            async with asyncio.timeout(WAIT_S_MAX):
                try:
                    while data := await loop.sock_recv(sock, 1 << 20):
                        got += len(data)
                except ConnectionError:
                    pass
        assert got < len(LARGE)


@pytest.mark.parametrize("line", ["X-Way: normal", "Accept: */*"], ids=["normal", "express"])
async def test_a_client_who_left_is_nothing_to_log(line: str, tmp_path: Path, events: list[Any]) -> None:
    """CLIENTS quirk 7: containerd resets each connection after one chunk; that is no error."""
    async with running(tmp_path) as node:
        await push(node)
        for _ in range(5):
            with socket.create_connection((node.host, node.port)) as sock:
                sock.sendall(f"GET /v2/own/app/blobs/{sha256(LARGE)} HTTP/1.1\r\nHost: node\r\n{line}\r\n\r\n".encode())
            assert (await node.fetch("/v2/"))[0] == 200
        assert not [event for event in events if event["log_level"] in ("warning", "error")]
