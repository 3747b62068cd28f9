"""Restarts behind a socket unit, and stops in the midst of transfers: nobody at the door notices either."""

import asyncio
import io
import shutil
import signal
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from inheriting import handed
from ports import free_port
from processes import Process, serving
from standin import sha256
from waiting import until

SMALL = b"small" * 100
LARGE = bytes(range(256)) * 4_096 * 8  # 8 MiB: more than the kernel takes for a client that does not read
RESTARTS = 3
CLIENTS = 6
DOWNLOADS = 24
WAIT_S_MAX = 20.0


async def push(node: Process, *blobs: bytes) -> None:
    async with aiohttp.ClientSession() as session:
        for data in blobs:
            url = f"{node.url}/v2/own/app/blobs/uploads/?digest={sha256(data)}"
            async with session.post(url, data=io.BytesIO(data)) as response:
                assert response.status == 201


@dataclass
class Client:
    """Asks again and again, on one connection for as long as the node keeps it, and never twice for one answer."""

    port: int
    header: str
    answers: int = 0
    connections: int = 0
    failures: list[str] = field(default_factory=list)

    async def run(self, stop: asyncio.Event) -> None:
        writer = None
        while not stop.is_set():
            try:
                async with asyncio.timeout(WAIT_S_MAX):
                    if writer is None:
                        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                        self.connections += 1
                    head, body = await self._ask(reader, writer)
            except (OSError, EOFError) as error:
                self.failures.append(repr(error))
                break
            if not head.startswith(b"HTTP/1.1 200") or body != SMALL:
                self.failures.append(head.decode())
            self.answers += 1
            if b"\r\nConnection: close\r\n" in head:
                writer.close()
                writer = None
            await asyncio.sleep(0.005)
        if writer is not None:
            writer.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[bytes, bytes]:
        path = f"/v2/own/app/blobs/{sha256(SMALL)}"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: node\r\n{self.header}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        return head, await reader.readexactly(len(SMALL))


async def test_restarts_on_an_inherited_socket_fail_nobody_under_load(tmp_path: Path) -> None:
    """RELIABILITY G14; issue 5, section 4: who is kept alive, who comes anew, who comes while no node is there."""
    headers = ["X-Way: normal", "Accept: */*", "Connection: close"]  # each lane kept alive, and one that never is
    with socket.create_server(("127.0.0.1", 0), backlog=1_024) as listening:
        before, port = handed(listening), listening.getsockname()[1]
        clients = [Client(port, headers[number % len(headers)]) for number in range(CLIENTS)]
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for number in range(RESTARTS + 1):
                async with serving(tmp_path, before=before, pass_fds=(listening.fileno(),)) as node:
                    if not number:
                        await push(node, SMALL)
                        for client in clients:
                            group.create_task(client.run(stop))
                    answered = [client.answers for client in clients]
                    await until(lambda answered=answered: _all_went_on(clients, answered))
                    if number == RESTARTS:
                        stop.set()
                    node.signal(signal.SIGTERM)
                    assert await node.ended() == 0
    assert [client.failures for client in clients] == [[]] * CLIENTS
    kept = [client.connections for client in clients if client.header != "Connection: close"]
    assert set(kept) == {RESTARTS + 1}, "each was told of the restart, and none before"


async def _all_went_on(clients: list[Client], since: list[int]) -> bool:
    return all(client.answers > before + 10 or client.failures for client, before in zip(clients, since, strict=True))


async def test_a_stop_with_many_downloads_running_breaks_none(tmp_path: Path) -> None:
    """RELIABILITY G14: the node is not ready from the first moment, each answer is a last one, each transfer whole."""
    async with serving(tmp_path) as node:
        await push(node, LARGE)
        kept, asking = await asyncio.open_connection("127.0.0.1", node.port)
        asking.write(b"GET /readyz HTTP/1.1\r\nHost: node\r\n\r\n")
        assert (await kept.readuntil(b"ok\n")).startswith(b"HTTP/1.1 200")
        opened = [await asyncio.open_connection("127.0.0.1", node.port) for _ in range(DOWNLOADS)]
        for number, (reader, writer) in enumerate(opened):
            header = ("X-Way: normal", "Accept: */*")[number % 2]
            path = f"/v2/own/app/blobs/{sha256(LARGE)}"
            writer.write(f"GET {path} HTTP/1.1\r\nHost: node\r\n{header}\r\n\r\n".encode())
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        node.signal(signal.SIGTERM)
        await node.logged("stopping")
        asking.write(b"GET /readyz HTTP/1.1\r\nHost: node\r\n\r\n")
        answer = await asyncio.wait_for(kept.read(), WAIT_S_MAX)
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"\r\nConnection: close\r\n" in answer
        assert answer.endswith(b"\r\n\r\nstopping\n")
        asking.close()
        async with asyncio.timeout(WAIT_S_MAX):
            bodies = await asyncio.gather(*(reader.read(-1) for reader, _ in opened))
        assert all(body == LARGE for body in bodies)
        for _, writer in opened:
            writer.close()
        assert await node.ended() == 0


async def test_systemd_starts_the_node_at_the_first_connection(tmp_path: Path) -> None:
    """systemd-socket-activate(1): who knocks first is answered, on a socket that the node did not open."""
    if shutil.which("systemd-socket-activate") is None:
        pytest.skip("systemd-socket-activate is not installed here")
    port = free_port()
    path = ":".join(part for part in sys.path if part)
    before = ["systemd-socket-activate", f"--listen=127.0.0.1:{port}", f"--setenv=PYTHONPATH={path}"]
    knocking = asyncio.create_task(_knock(port))
    async with serving(tmp_path, before=before, listen=["127.0.0.1:1"]) as node:
        assert node.address == f"127.0.0.1:{port}", "[server] listen does not count"
        answer = await asyncio.wait_for(knocking, WAIT_S_MAX)
        assert answer.startswith(b"HTTP/1.1 200")
        node.signal(signal.SIGTERM)
        assert await node.ended() == 0


async def _knock(port: int) -> bytes:
    """Ask as soon as somebody listens."""

    async def connected() -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        try:
            return await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            return None

    reader, writer = await until(connected, WAIT_S_MAX)
    writer.write(b"GET /v2/ HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return bytes(answer)
