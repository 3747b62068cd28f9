"""Slow clients: below the minimum rate they are let go, above it they are served to the end."""

import asyncio
import io
import socket
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from running import RunningNode, cached, running
from standin import Fault, Standin, sha256

import mirror.node.doorway
import mirror.node.node
from mirror import telemetry
from mirror.store.upload import Upload
from mirror.web.server import Server
from mirror.web.slow import SlowClock

WINDOW_S = 0.3
WAIT_S_MAX = 10.0
LARGE = bytes(range(256)) * 4096 * 16  # 16 MiB: more than the kernel takes for a client that does not read
SMALL = b"x" * 60_000  # in memory, and below asyncio's own 64 KiB of what may wait unseen
RECEIVE_BYTES = 4096


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror.node.node, "SlowClock", partial(SlowClock, window_s=WINDOW_S, look_every_s=WINDOW_S / 5))


def closed(direction: str) -> float:
    return telemetry.SLOW_CLOSED.labels(direction)._value.get()


@asynccontextmanager
async def client(node: RunningNode) -> AsyncIterator[socket.socket]:
    """A client whose kernel keeps little for it: what it does not read waits in the node."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (node.host, node.port))
        yield sock


async def say(sock: socket.socket, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(sock, data)


async def read_until_closed(sock: socket.socket) -> bytes:
    got = b""
    async with asyncio.timeout(WAIT_S_MAX):
        while True:
            try:
                data = await asyncio.get_running_loop().sock_recv(sock, 1 << 20)
            except ConnectionError:
                return got
            if not data:
                return got
            got += data


def asking(path: str, *lines: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: node", *lines, "", ""]).encode()


async def push(node: RunningNode, data: bytes) -> None:
    path = f"/v2/own/app/blobs/uploads/?digest={sha256(data)}"
    async with node.request("POST", path, data=io.BytesIO(data)) as response:
        assert response.status == 201


def pushing(name: str, data: bytes) -> bytes:
    path = f"/v2/{name}/blobs/uploads/?digest={sha256(data)}"
    return f"POST {path} HTTP/1.1\r\nHost: node\r\nContent-Length: {len(data)}\r\n\r\n".encode()


@pytest.mark.parametrize("lines", [(), ("X-Way: normal",)], ids=["express", "normal"])
async def test_a_reader_that_stops_is_let_go(lines: Sequence[str], tmp_path: Path) -> None:
    """RELIABILITY G9: below 1 KiB/s a reader is closed, whichever lane serves it; its file is closed with it."""
    async with running(tmp_path) as node:
        await push(node, LARGE)
        before = closed("write")
        async with client(node) as sock:
            await say(sock, asking(f"/v2/own/app/blobs/{sha256(LARGE)}", *lines))
            await _until(lambda: closed("write") == before + 1)
            assert len(await read_until_closed(sock)) < len(LARGE)


async def test_a_reader_of_small_answers_that_stops_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RELIABILITY finding 4: a single byte that nobody takes is under the clock, however little waits."""
    made: list[Server] = []
    monkeypatch.setattr(
        mirror.node.doorway, "Server", lambda *given, **options: made.append(Server(*given, **options)) or made[0]
    )
    async with running(tmp_path) as node:
        await push(node, SMALL)
        before, waiting = closed("write"), 0
        async with client(node) as sock, asyncio.timeout(WAIT_S_MAX):
            while not waiting:
                await say(sock, asking(f"/v2/own/app/blobs/{sha256(SMALL)}", "X-Way: normal"))
                await asyncio.sleep(0.005)
                waiting = max(one.transport.get_write_buffer_size() for one in made[0].connections if one.transport)
            assert waiting < 64 * 1024, "asyncio itself would have noticed this"
            await _until(lambda: closed("write") == before + 1)


async def test_a_reader_that_stops_in_a_fill_is_let_go_and_the_fill_goes_on(tmp_path: Path) -> None:
    """DESIGN walk 2: a leaving reader stops nothing; a slow one slows nobody."""
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1", [LARGE])
        async with running(tmp_path, upstreams=[cached(standin)]) as node:
            await node.fetch("/v2/library/app/manifests/v1")
            path, before = f"/v2/library/app/blobs/{image.layers[0]}", closed("write")
            async with client(node) as sock:
                await say(sock, asking(path))
                assert (await node.fetch(path))[2] == LARGE
                await _until(lambda: closed("write") == before + 1)
            assert standin.count("blob", image.layers[0], "GET") == 1


async def test_a_reader_of_a_slow_upstream_is_not_blamed(tmp_path: Path) -> None:
    """RELIABILITY section 4: the clock is on who is waited for; a client that took all it was given is not slow."""
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1", [LARGE])
        async with running(tmp_path, upstreams=[cached(standin)]) as node:
            await node.fetch("/v2/library/app/manifests/v1")
            standin.fault = Fault(hang_after=1 << 20, on="blob", times=1)
            before = closed("write")
            pulling = asyncio.ensure_future(node.fetch(f"/v2/library/app/blobs/{image.layers[0]}"))
            await standin.stalled.wait()
            await asyncio.sleep(3 * WINDOW_S)
            standin.resume()
            assert (await asyncio.wait_for(pulling, WAIT_S_MAX))[2] == LARGE
            assert closed("write") == before


async def test_a_slow_reader_above_the_minimum_is_served_to_the_end(tmp_path: Path) -> None:
    """RELIABILITY G9: only what is below the minimum rate is closed."""
    async with running(tmp_path) as node:
        await push(node, SMALL)
        before, got = closed("write"), 0
        async with client(node) as sock:
            await say(sock, asking(f"/v2/own/app/blobs/{sha256(SMALL)}", "Connection: close"))
            while data := await asyncio.get_running_loop().sock_recv(sock, 2048):
                got += len(data)
                await asyncio.sleep(WINDOW_S / 10)
        assert got > len(SMALL)
        assert closed("write") == before


async def test_a_body_that_trickles_is_let_go_and_what_came_is_kept(tmp_path: Path) -> None:
    """RELIABILITY finding 4: aiohttp has no clock on bodies; the session keeps its bytes for a resume."""
    async with running(tmp_path) as node:
        before = closed("read")
        async with node.request("POST", "/v2/own/app/blobs/uploads/") as response:
            place = response.headers["Location"]
        async with client(node) as sock:
            await say(sock, f"PATCH {place} HTTP/1.1\r\nHost: node\r\nContent-Length: 90000\r\n\r\n".encode() + SMALL)
            trickle = asyncio.ensure_future(_trickle(sock))
            await read_until_closed(sock)
            trickle.cancel()
        assert closed("read") == before + 1
        async with node.get(place) as response:
            assert int(response.headers["Range"].removeprefix("0-")) >= len(SMALL) - 1


async def test_a_slow_body_above_the_minimum_is_taken(tmp_path: Path) -> None:
    """RELIABILITY G9: a thin line is no attack."""
    async with running(tmp_path) as node, client(node) as sock:
        await say(sock, pushing("own/app", SMALL))
        for start in range(0, len(SMALL), 4000):
            await say(sock, SMALL[start : start + 4000])
            await asyncio.sleep(WINDOW_S / 5)
        answer = await asyncio.get_running_loop().sock_recv(sock, 4096)
        assert answer.startswith(b"HTTP/1.1 201")


async def test_a_client_is_not_blamed_for_our_slow_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RELIABILITY section 4: while the disk hangs the node does not read, so nobody can send."""
    go, write = threading.Event(), Upload._write

    def hang(upload: Upload, batch: Any) -> None:
        go.wait(WAIT_S_MAX)
        write(upload, batch)

    monkeypatch.setattr(Upload, "_write", hang)
    async with running(tmp_path) as node:
        before = closed("read")
        work = asyncio.ensure_future(push(node, LARGE))
        await asyncio.sleep(4 * WINDOW_S)
        go.set()
        await asyncio.wait_for(work, WAIT_S_MAX)
        assert closed("read") == before


async def _trickle(sock: socket.socket) -> None:
    while True:
        await say(sock, b"x")
        await asyncio.sleep(WINDOW_S / 10)


async def _until(happened: Any) -> None:
    async with asyncio.timeout(WAIT_S_MAX):
        while not happened():
            await asyncio.sleep(WINDOW_S / 10)
