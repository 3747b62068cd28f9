"""What a peer says, as it comes: in pieces, cut short, or as something that is no token."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from mirror.oci.errors import UpstreamUnavailable
from mirror.upstream.peer import PeerRule, open_peer
from mirror.upstream.push import PushClient
from mirror.upstream.throttle import Throttle

PIECE_S = 0.05  # between two pieces of an answer
TOKEN = {"authorizationData": [{"authorizationToken": "a" * 3_000, "expiresAt": time.time() + 43_200}]}


@asynccontextmanager
async def peer(folder: Path, pieces: list[bytes], *, length: int) -> AsyncIterator[tuple[PushClient, list[str]]]:
    """A node that answers GetAuthorizationToken in `pieces`, and everything else with 404; and what it was asked."""
    asked: list[str] = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        asked.append(f"{request.method} {request.path}")
        if request.path != "/":
            return web.Response(status=404)
        response = web.StreamResponse(headers={"Content-Length": str(length)})
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
            await asyncio.sleep(PIECE_S)
        assert request.transport is not None
        if sum(map(len, pieces)) < length:
            request.transport.abort()
        return response

    secret = folder / "secret"
    secret.write_text("a secret\n")
    server = await asyncio.get_running_loop().create_server(web.Server(handle), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    rule = PeerRule("eu-west-1", f"http://127.0.0.1:{port}", "AKIAEXAMPLE", str(secret))
    one = open_peer(rule, "111111111111", "us-east-1", user_agent="tests", throttle=Throttle(0), sent=lambda _: None)
    try:
        yield one, asked
    finally:
        await one.close()
        server.close()


async def test_a_token_that_comes_in_pieces_is_read_whole(tmp_path: Path) -> None:
    """ECR API reference, GetAuthorizationToken: an answer of some KiB, which need not be one packet."""
    body = json.dumps(TOKEN).encode()
    async with peer(tmp_path, [body[:1_000], body[1_000:]], length=len(body)) as (one, asked):
        assert await one.head("team/app", "v1") is None
    assert asked == ["POST /", "HEAD /v2/team/app/manifests/v1"]


@pytest.mark.parametrize(
    ("pieces", "length"),
    [([b'{"authorizationData": ['], 1_000), ([b"no JSON"], 7), ([b'{"message": 1}'], 14), ([b"[1]"], 3)],
    ids=["cut", "text", "another answer", "a list"],
)
async def test_what_is_no_token_is_trouble_that_may_pass(tmp_path: Path, pieces: list[bytes], length: int) -> None:
    """Issue 4, section 1: a place that cannot be asked now is asked again; no order is refused for it."""
    async with peer(tmp_path, pieces, length=length) as (one, _):
        with pytest.raises(UpstreamUnavailable, match="region eu-west-1 gives no token"):
            await one.head("team/app", "v1")
