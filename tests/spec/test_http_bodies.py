"""Bodies: awaited, refused, unread, cut in pieces; none is ever taken for the next request."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import pytest
import pytest_asyncio
from pushing import QUICK_S_MAX, answered, ask, asking, push_blob, push_image, read_answers, sha256
from running import RunningNode, running

from mirror.oci.manifest import MANIFEST_BYTES_MAX

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAME: Final = "raw/app"
EMPTY: Final = sha256(b"")
SMUGGLED: Final = b"GET /v2/raw/app/manifests/v1 HTTP/1.1\r\nHost: node\r\n\r\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningNode]:
    async with running(tmp_path_factory.mktemp("node")) as node:
        await push_image(node, NAME, "v1")
        yield node


async def test_a_client_that_waits_to_be_told_is_told(node: RunningNode) -> None:
    """RFC 9110 section 10.1.1: `Expect: 100-continue` gets 100 before the body is awaited, then the answer."""
    url = f"/v2/raw/expect/blobs/uploads/?digest={sha256(b'hello')}"
    reader, writer = await asyncio.open_connection(node.host, node.port)
    head = (
        f"POST {url} HTTP/1.1\r\nHost: node\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    )
    writer.write(head.encode())
    async with asyncio.timeout(QUICK_S_MAX):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"hello")
        [answer] = read_answers(await reader.read())
    writer.close()
    assert answer.status == 201


@pytest.mark.parametrize(
    "url", [f"/v2/raw/app/blobs/uploads/{'0' * 32}", "/v2/raw/app/blobs/uploads/?digest=bad", "/none"]
)
async def test_a_client_that_waits_is_refused_before_it_sends(node: RunningNode, url: str) -> None:
    """RFC 9110 section 10.1.1: the final answer comes instead of 100, and the connection ends."""
    method = "PATCH" if url.endswith("0") else "POST"
    head = f"{method} {url} HTTP/1.1\r\nHost: node\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n"
    reader, writer = await asyncio.open_connection(node.host, node.port)
    writer.write(head.encode())
    async with asyncio.timeout(QUICK_S_MAX):
        begun = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    assert begun.startswith((b"HTTP/1.1 404", b"HTTP/1.1 400"))
    assert b"Connection: close" in begun


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST", "PUT"])
async def test_a_body_that_nobody_reads_is_never_the_next_request(node: RunningNode, method: str) -> None:
    """RELIABILITY A26: a refused or needless body is dropped, whole or cut in pieces; no second answer comes of it."""
    for path in ("/v2/raw/app/manifests/none", "/none", "/healthz"):
        head = f"{method} {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\nContent-Length: {len(SMUGGLED)}\r\n\r\n"
        [answer] = read_answers(await asyncio.wait_for(node.raw(head.encode() + SMUGGLED), QUICK_S_MAX))
        assert answer.status < 500


async def test_a_body_cut_in_pieces_is_never_the_next_request(node: RunningNode) -> None:
    """RELIABILITY A26 and the express lane: a segment that looks like a request may be the middle of a body."""
    session = (await ask(node, "POST", "/v2/raw/pieces/blobs/uploads/"))[1]["Location"]
    reader, writer = await asyncio.open_connection(node.host, node.port)
    head = f"PATCH {session} HTTP/1.1\r\nHost: node\r\nContent-Length: {2 * len(SMUGGLED)}\r\nConnection: close\r\n\r\n"
    writer.write(SMUGGLED)
    async with asyncio.timeout(QUICK_S_MAX):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        for piece, taken in ((head.encode(), "0-0"), (SMUGGLED, f"0-{len(SMUGGLED) - 1}")):
            writer.write(piece)
            await writer.drain()
            while (await ask(node, "GET", session))[1]["Range"] != taken:
                await asyncio.sleep(0.01)
        writer.write(SMUGGLED)
        rest = await reader.read()
    writer.close()
    answers = read_answers(rest[rest.index(b"HTTP/1.1") :])
    assert [answer.status for answer in answers] == [202]
    assert (await ask(node, "PUT", f"{session}?digest={sha256(SMUGGLED * 2)}"))[0] == 201


async def test_a_refusal_is_heard_by_a_client_that_still_sends(node: RunningNode) -> None:
    """RELIABILITY A2: a declared body above the limit is refused, and the refusal is not lost to a reset."""
    size = MANIFEST_BYTES_MAX * 2
    head = f"PUT /v2/raw/app/manifests/v1 HTTP/1.1\r\nHost: node\r\nContent-Length: {size}\r\n\r\n"
    status, code = await answered(node, head.encode() + b" " * size)
    assert (status, code) == (413, "SIZE_INVALID")


async def test_a_push_that_is_refused_says_why_while_the_body_comes(node: RunningNode) -> None:
    """RELIABILITY A3: 415 reaches a client that has sent its whole body without waiting."""
    body = b"x" * 1_000_000
    head = f"POST /v2/raw/app/blobs/uploads/?digest={EMPTY} HTTP/1.1\r\nHost: node\r\nContent-Encoding: gzip\r\n"
    status, _ = await answered(node, head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
    assert status == 415


async def test_a_connection_goes_on_after_a_refusal_without_a_body(node: RunningNode) -> None:
    """CLIENTS quirk 9 read backwards: clients that keep connections keep them over a 404."""
    digest = await push_blob(node, "raw/app", b"small")
    none = b"GET /v2/raw/app/manifests/none HTTP/1.1\r\nHost: node\r\n\r\n"
    raw = await node.raw(none + none + asking(f"/v2/raw/app/blobs/{digest}".encode()))
    assert [answer.status for answer in read_answers(raw)] == [404, 404, 200]
