"""Framing byte by byte: one reading of every request or none; and what is no HTTP at all."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
import pytest_asyncio
from pushing import QUICK_S_MAX, answered, asking, code_of, push_image, read_answers
from running import RunningNode, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAME: Final = "raw/app"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningNode]:
    async with running(tmp_path_factory.mktemp("node")) as node:
        await push_image(node, NAME, "v1")
        yield node


# Framing (RELIABILITY A26, section 5.5): each of these is answered once, refused, and the connection is closed, for
# what follows might be the body to one reader and a request to another.

SMUGGLED: Final = b"GET /v2/raw/app/manifests/v1 HTTP/1.1\r\nHost: node\r\n\r\n"
POST: Final = b"POST /v2/raw/app/blobs/uploads/ HTTP/1.1\r\nHost: node\r\n"
FRAMINGS: Final = {
    "length and chunks": POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 0\r\nContent-Length: 50\r\n\r\n",
    "two equal lengths": POST + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "a list of lengths": POST + b"Content-Length: 0, 50\r\n\r\n",
    "a signed length": POST + b"Content-Length: +0\r\n\r\n",
    "a negative length": POST + b"Content-Length: -1\r\n\r\n",
    "a length with a digit mark": POST + b"Content-Length: 1_0\r\n\r\n",
    "a length in hex": POST + b"Content-Length: 0x0\r\n\r\n",
    "a huge length": POST + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n",
    "an empty length": POST + b"Content-Length: \r\n\r\n",
    "a length of another script": POST + "Content-Length: \u0660\r\n\r\n".encode(),
    "an unknown coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n",
    "chunks not last": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunks twice": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "two codings": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "a space before the colon": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a folded line": POST + b"X-Folded: a\r\n b\r\n\r\n",
    "a bare line feed": POST + b"X-Bare: a\n\r\n",
    "a bare carriage return": POST + b"X-Bare: a\rb\r\n\r\n",
    "a zero byte": POST + b"X-Zero: a\x00b\r\n\r\n",
    "a header without a name": POST + b": x\r\n\r\n",
    "a header without a colon": POST + b"nonsense\r\n\r\n",
    "too many headers": POST + b"X-Many: x\r\n" * 300 + b"\r\n",
    "too long a header": POST + b"X-Long: " + b"x" * 20_000 + b"\r\n\r\n",
    "a bad chunk size": POST + b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
    "a negative chunk size": POST + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
    "a huge chunk size": POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 20 + b"\r\nhello\r\n0\r\n\r\n",
    "a chunk ended by a line feed": POST + b"Transfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n",
    "a chunk too long": POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello!!\r\n0\r\n\r\n",
    "no host": b"GET /v2/ HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /v2/ HTTP/1.1\r\nHost: node\r\nHost: node\r\n\r\n",
    "no method": b" /v2/ HTTP/1.1\r\nHost: node\r\n\r\n",
    "a lower-case method": b"get /v2/ HTTP/1.1\r\nHost: node\r\n\r\n",
    "a tab for a space": b"GET\t/v2/ HTTP/1.1\r\nHost: node\r\n\r\n",
    "a control byte in the target": b"GET /v2/\x01 HTTP/1.1\r\nHost: node\r\n\r\n",
    "HTTP/1.2": b"GET /v2/ HTTP/1.2\r\nHost: node\r\n\r\n",
    "HTTP/2.0": b"GET /v2/ HTTP/2.0\r\nHost: node\r\n\r\n",
    "HTTP/2 by its preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": b"GET /v2/\r\n\r\n",
    "lower-case http": b"GET /v2/ http/1.1\r\nHost: node\r\n\r\n",
}


@pytest.mark.parametrize("case", FRAMINGS)
async def test_ambiguous_framing_gets_one_answer_and_the_end(node: RunningNode, case: str) -> None:
    """RELIABILITY A26: nothing that follows is read as a request: exactly one answer, 400, and the connection ends."""
    status, code = await answered(node, FRAMINGS[case] + SMUGGLED)
    assert (status, code) == (400, "UNSUPPORTED")


@pytest.mark.parametrize("case", ["length and chunks", "two lengths", "a bare line feed", "two hosts", "HTTP/1.2"])
async def test_ambiguous_framing_is_no_better_on_a_warm_connection(node: RunningNode, case: str) -> None:
    """RELIABILITY A26: after an express answer the same one refusal comes, and the end."""
    reader, writer = await asyncio.open_connection(node.host, node.port)
    async with asyncio.timeout(QUICK_S_MAX):
        writer.write(SMUGGLED)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        await reader.readexactly(int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0]))
        writer.write(FRAMINGS[case] + SMUGGLED)
        [answer] = read_answers(await reader.read())
    writer.close()
    assert (answer.status, code_of(answer.body)) == (400, "UNSUPPORTED")


async def test_garbage_is_no_news(node: RunningNode, events: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    """RELIABILITY A35: what a scanner of the internet sends costs no warning and no stack trace."""
    for case in ("two lengths", "no method", "HTTP/2 by its preface"):
        await node.raw(FRAMINGS[case])
    assert not [event for event in events if event["log_level"] in ("warning", "error", "critical")]
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR", "CRITICAL")]


async def test_requests_in_a_row_get_answers_in_a_row(node: RunningNode) -> None:
    """RFC 9112 section 9.3.2: pipelined requests are answered in their order, whichever lane takes them."""
    paths = [b"/v2/", b"/v2/raw/app/manifests/v1", b"/none", b"/v2/raw/app/tags/list", b"/healthz"] * 5
    requests = [b"GET " + path + b" HTTP/1.1\r\nHost: node\r\n\r\n" for path in paths]
    raw = await node.raw(b"".join(requests) + asking(b"/v2/"))
    assert [answer.status for answer in read_answers(raw)] == [200, 200, 404, 200, 200] * 5 + [200]


async def test_a_client_of_http_1_0_is_answered_and_closed(node: RunningNode) -> None:
    """RFC 9112 section 9.3: no persistence unless asked for, no Host needed, and no chunks sent to it."""
    [answer] = read_answers(await node.raw(b"GET /v2/raw/app/manifests/v1 HTTP/1.0\r\n\r\n"))
    assert answer.status == 200
    assert "transfer-encoding" not in answer.headers


async def test_a_client_of_http_0_9_is_refused_and_closed(node: RunningNode) -> None:
    """RELIABILITY finding 6: aiohttp answers it 200; it knows no status, so only the words and the end count."""
    raw = await asyncio.wait_for(node.raw(b"GET /v2/raw/app/manifests/v1\r\n\r\n"), QUICK_S_MAX)
    assert b" 400 Bad Request\r\n" in raw
    assert b"schemaVersion" not in raw


async def test_a_tls_hello_on_the_plain_port_is_closed_quickly(node: RunningNode) -> None:
    """CLIENTS quirk 18: 400 and the end, so that a client that tries HTTPS first falls back at once."""
    context = ssl.create_default_context()
    hello = ssl.MemoryBIO()
    wrapped = context.wrap_bio(ssl.MemoryBIO(), hello, server_hostname="node.example")
    with pytest.raises(ssl.SSLWantReadError):
        wrapped.do_handshake()
    async with asyncio.timeout(QUICK_S_MAX):
        [answer] = read_answers(await node.raw(hello.read()))
    assert answer.status == 400
