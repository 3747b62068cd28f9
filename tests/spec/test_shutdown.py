"""Going down: what is under way is finished, what is new is turned away."""

import asyncio
import io
import signal
import socket
from pathlib import Path

import aiohttp
import pytest
from processes import Process, serving
from running import cached, running
from standin import Fault, Standin, sha256

from mirror.web.ops import Ops, Readiness

LARGE = bytes(range(256)) * 4096 * 24  # 24 MiB: more than the kernel takes for a client that does not read
WAIT_S_MAX = 20.0
STOP_S_MAX = 5.0


async def _push(node: Process) -> str:
    url = f"{node.url}/v2/own/app/blobs/uploads/?digest={sha256(LARGE)}"
    async with aiohttp.ClientSession() as session, session.post(url, data=io.BytesIO(LARGE)) as response:
        assert response.status == 201
    return f"/v2/own/app/blobs/{sha256(LARGE)}"


@pytest.mark.parametrize("header", ["X-Way: normal", "Accept: */*"], ids=["normal", "express"])
async def test_a_running_download_is_finished_and_no_new_client_taken(header: str, tmp_path: Path) -> None:
    """RELIABILITY G14: SIGTERM breaks no download, whichever lane sends it; then the node ends with 0."""
    async with serving(tmp_path) as node:
        path = await _push(node)
        reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: node\r\n{header}\r\n\r\n".encode())
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WAIT_S_MAX)
        assert head.startswith(b"HTTP/1.1 200")
        node.signal(signal.SIGTERM)
        await node.logged("stopping")
        await _refused(node.port)
        assert node.running.returncode is None
        body = await asyncio.wait_for(reader.read(), WAIT_S_MAX)
        body += await asyncio.wait_for(reader.read(), WAIT_S_MAX)
        assert body == LARGE
        writer.close()
        assert await node.ended() == 0


async def _refused(port: int) -> None:
    """Knock until nobody opens: the log line that tells of a stop is a moment ahead of it."""
    async with asyncio.timeout(WAIT_S_MAX):
        while True:
            with socket.socket() as sock:
                sock.setblocking(False)
                try:
                    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
                except ConnectionRefusedError:
                    return
            await asyncio.sleep(0.01)


async def test_a_download_of_the_express_lane_may_take_as_long_as_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DESIGN section 4: limits count both lanes alike; no handler is at work, and yet it is under way."""
    monkeypatch.setattr("mirror.web.server.FLUSH_S_MAX", 0.01)
    async with running(tmp_path) as node:
        path = f"/v2/own/app/blobs/uploads/?digest={sha256(LARGE)}"
        async with node.request("POST", path, data=io.BytesIO(LARGE)) as response:
            assert response.status == 201
        reader, writer = await asyncio.open_connection(node.host, node.port)
        writer.write(f"GET /v2/own/app/blobs/{sha256(LARGE)} HTTP/1.1\r\nHost: node\r\n\r\n".encode())
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WAIT_S_MAX)
        node.node.stop()
        await asyncio.sleep(0.3)
        body = b""
        while chunk := await asyncio.wait_for(reader.read(1 << 20), WAIT_S_MAX):
            body += chunk
        assert body == LARGE
        writer.close()


async def test_the_last_bytes_of_answers_in_memory_leave_the_process(tmp_path: Path) -> None:
    """RELIABILITY G14: an answer whose handler is done, but whose client reads slowly, is whole too."""
    data = b"x" * 60_000
    async with serving(tmp_path) as node:
        async with aiohttp.ClientSession() as session:
            url = f"{node.url}/v2/own/app/blobs/uploads/?digest={sha256(data)}"
            async with session.post(url, data=data) as response:
                assert response.status == 201
        _, writer = waiting = await asyncio.open_connection("127.0.0.1", node.port, limit=1024)
        reader = waiting[0]
        writer.write(f"GET /v2/own/app/blobs/{sha256(data)} HTTP/1.1\r\nHost: node\r\n\r\n".encode() * 200)
        await asyncio.wait_for(reader.readexactly(1000), WAIT_S_MAX)
        node.signal(signal.SIGTERM)
        await node.logged("stopping")
        got = 1000
        while chunk := await asyncio.wait_for(reader.read(1 << 20), WAIT_S_MAX):
            got += len(chunk)
        assert got > len(data)
        last = len(b"Connection: close\r\n")  # what the last answer has more than the others
        assert (got - last) % (len(data) + _head_bytes(data)) == 0, "an answer was cut short"
        writer.close()
        assert await node.ended() == 0


def _head_bytes(data: bytes) -> int:
    digest = sha256(data)
    lines = (
        "HTTP/1.1 200 OK",
        "Content-Type: application/octet-stream",
        f"Content-Length: {len(data)}",
        f"Docker-Content-Digest: {digest}",
        "Docker-Distribution-Api-Version: registry/2.0",
        f'ETag: "{digest}"',
        "Accept-Ranges: bytes",
        "Cache-Control: public, max-age=31536000, immutable",
        "X-Content-Type-Options: nosniff",
        "Date: Mon, 23 Nov 2026 16:14:45 GMT",
        "Server: mirror",
        "",
    )
    return len("\r\n".join(lines)) + 2


async def test_a_stop_in_the_midst_of_a_fill_ends_in_time(tmp_path: Path) -> None:
    """DESIGN section 5: every wait has a limit, also that of a stop for an upstream that hangs."""
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1", [LARGE])
        standin.fault = Fault(hang_after=1 << 20, on="blob")
        async with running(tmp_path, upstreams=[cached(standin)], drain_s=0.2) as node:
            await node.fetch("/v2/library/app/manifests/v1")
            pulling = asyncio.ensure_future(node.fetch(f"/v2/library/app/blobs/{image.layers[0]}"))
            await asyncio.wait_for(standin.stalled.wait(), WAIT_S_MAX)
            node.node.stop()
            started = asyncio.get_running_loop().time()
            with pytest.raises(aiohttp.ClientError):
                await asyncio.wait_for(pulling, WAIT_S_MAX)
        assert asyncio.get_running_loop().time() - started < STOP_S_MAX


async def test_a_node_that_stops_is_not_ready() -> None:
    """Contract: /readyz; what is in the way is said, with 503."""
    found = [Readiness((), ()), Readiness((), ("disk: full",)), Readiness(("stopping",), ())]

    async def look() -> Readiness:
        return found.pop(0)

    async def measure() -> None:
        """Readiness measures nothing."""
        raise AssertionError

    ops = Ops(look, measure)
    for status, body in ((200, b"ok\n"), (200, b"ok\ndisk: full\n"), (503, b"stopping\n")):
        response = await ops.readyz(None)  # type: ignore[arg-type] # it asks nothing of the request
        assert (response.status, response.body) == (status, body)  # type: ignore[attr-defined]
