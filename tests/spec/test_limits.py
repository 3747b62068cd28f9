"""Limits: how many may come, how long they may keep silent."""

import asyncio
import resource
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
from inheriting import handed
from processes import serving
from running import running

import mirror.web.server

CLIENTS = 2_000  # issue 5, section 5
FD_LIMIT = 256
SILENT_S = 0.4
WAIT_S_MAX = 10.0


async def _ask(port: int) -> tuple[bytes, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /v2/ HTTP/1.1\r\nHost: node\r\n\r\n")
    try:
        return await asyncio.wait_for(reader.read(12), WAIT_S_MAX), writer
    except ConnectionError:
        return b"", writer


async def test_more_clients_than_descriptors_are_refused_and_counted(tmp_path: Path) -> None:
    """RELIABILITY G11: an fd limit of 256 and more clients: no crash, counted refusals, normal again at once."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # ours, for so many clients
    async with serving(tmp_path, before=["bash", "-c", f'ulimit -n {FD_LIMIT}; exec "$@"', "node"]) as node:
        node.signal(signal.SIGSTOP)  # so that all of them stand at the door at once
        asking = [asyncio.ensure_future(_ask(node.port)) for _ in range(CLIENTS)]
        await asyncio.sleep(0.2)
        node.signal(signal.SIGCONT)
        answers = await asyncio.gather(*asking)
        served = sum(answer == b"HTTP/1.1 200" for answer, _ in answers)
        assert 32 <= served < FD_LIMIT / 2
        # A refusal that crosses the request may be lost with the connection, but none is left waiting.
        assert {answer for answer, _ in answers} <= {b"HTTP/1.1 200", b"HTTP/1.1 503", b""}
        for _, writer in answers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for _, writer in answers), return_exceptions=True)
        again = [(await _ask(node.port)) for _ in range(20)]
        assert all(answer == b"HTTP/1.1 200" for answer, _ in again)
        _, metrics = await node.fetch("/metrics")
        assert f"mirror_connections_refused_total {float(CLIENTS - served)}".encode() in metrics
        for _, writer in again:
            writer.transport.abort()
        assert not [event for event in node.events if event["event"] == "loop"], "accept has failed"


@pytest.mark.parametrize("said", [b"", b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Slow: "], ids=["nothing", "half a head"])
async def test_who_does_not_finish_a_request_is_let_go(
    said: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RELIABILITY finding 4: half-sent headers are cut after the keep-alive time, however they trickle."""
    monkeypatch.setattr(mirror.web.server, "KEEPALIVE_S", SILENT_S)
    async with running(tmp_path) as node:
        reader, writer = await asyncio.open_connection(node.host, node.port)
        started = asyncio.get_running_loop().time()
        writer.write(said)
        trickle = asyncio.get_running_loop().create_task(_trickle(writer if said else None))
        assert await asyncio.wait_for(reader.read(), WAIT_S_MAX) == b""
        assert asyncio.get_running_loop().time() - started < 4 * SILENT_S
        trickle.cancel()
        writer.close()


async def _trickle(writer: Any) -> None:
    while writer is not None and not writer.is_closing():
        writer.write(b"x")
        await asyncio.sleep(SILENT_S / 8)


async def test_a_quiet_connection_is_closed_after_each_lanes_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DESIGN section 4: timeouts count both lanes alike."""
    monkeypatch.setattr(mirror.web.server, "KEEPALIVE_S", SILENT_S)
    async with running(tmp_path) as node:
        digest = "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
        await node.push_blob("own/app", b"x", digest)
        for path in ("/v2/", f"/v2/own/app/blobs/{digest}"):
            request = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
            started = asyncio.get_running_loop().time()
            assert (await node.raw(request)).startswith(b"HTTP/1.1 200")
            assert SILENT_S * 0.9 < asyncio.get_running_loop().time() - started < 4 * SILENT_S


async def test_upload_sessions_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """STYLE: a limit on everything; above it 503 with Retry-After, and an ended session makes room."""
    monkeypatch.setattr("mirror.store.uploads.UPLOADS_MAX", 3)
    async with running(tmp_path) as node:
        places = []
        for _ in range(3):
            async with node.request("POST", "/v2/own/app/blobs/uploads/") as response:
                assert response.status == 202
                places.append(response.headers["Location"])
        async with node.request("POST", "/v2/own/app/blobs/uploads/") as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "60")
        async with node.request("DELETE", places[0]) as response:
            assert response.status == 204
        async with node.request("POST", "/v2/own/app/blobs/uploads/") as response:
            assert response.status == 202


async def test_what_cannot_be_read_is_refused_as_the_spec_says_and_not_logged(
    tmp_path: Path, events: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """CLIENTS quirk 18: a TLS hello on the plain port gets 400 at once; no version is told, no traceback written."""
    async with running(tmp_path) as node:
        for garbage in (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200,
            b"GET /v2/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            b"\x00\r\n\r\n",
        ):
            answer = await node.raw(garbage)
            assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))
            assert b'"code":"UNSUPPORTED"' in answer
            assert b"aiohttp" not in answer
            assert b"Server: mirror" in answer
    assert not [event for event in events if event["log_level"] in ("error", "warning")]
    assert not caplog.records


async def test_a_unix_socket_is_served_and_nothing_else_is_taken_for_one(tmp_path: Path) -> None:
    """Contract: `listen` takes unix:/path; a file that is no socket stays as it is."""
    path = tmp_path / "node.sock"
    async with serving(tmp_path, listen=[f"unix:{path}"]) as node:
        assert node.address == f"unix:{path}"
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b"GET /v2/ HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n")
        assert (await asyncio.wait_for(reader.read(), WAIT_S_MAX)).startswith(b"HTTP/1.1 200")
        writer.close()
        await node.kill()
    async with serving(tmp_path, listen=[f"unix:{path}"]) as node:
        assert path.is_socket(), "the socket that the dead node left was in the way"
        await node.kill()
    path.unlink()
    path.write_text("an operator's file")
    with pytest.RaisesGroup(AssertionError, flatten_subgroups=True):
        async with serving(tmp_path, listen=[f"unix:{path}"]):
            pytest.fail("it serves")
    assert path.read_text() == "an operator's file"


async def test_an_inherited_socket_is_served_and_outlives_the_node(tmp_path: Path) -> None:
    """sd_listen_fds(3); RELIABILITY G14: a restart on an inherited socket refuses nobody."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        before = handed(listening)
        for _ in range(2):
            waiting = asyncio.get_running_loop().create_task(_ask(port))
            async with serving(tmp_path, before=before, pass_fds=(listening.fileno(),)) as node:
                assert node.port == port
                answer, writer = await asyncio.wait_for(waiting, WAIT_S_MAX)
                assert answer == b"HTTP/1.1 200", "who came while no node was there is answered by the next"
                writer.close()
                await node.kill()
