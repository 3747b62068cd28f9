"""Requests byte by byte: targets, framing, bodies that nobody reads, and what is no HTTP at all."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
import pytest_asyncio
from pushing import ask, code_of, push_blob, push_image, read_answers, sha256
from running import RunningNode, running

from mirror.oci.manifest import MANIFEST_BYTES_MAX

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAME: Final = "raw/app"
EMPTY: Final = sha256(b"")
QUICK_S_MAX: Final = 5.0  # "quickly": well below the 15 s after which an idle connection is closed anyway


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningNode]:
    async with running(tmp_path_factory.mktemp("node")) as node:
        await push_image(node, NAME, "v1")
        yield node


async def answered(node: RunningNode, request: bytes) -> tuple[int, str]:
    """Send a request that must get exactly one answer and then the end; return its status and error code."""
    [answer] = read_answers(await asyncio.wait_for(node.raw(request), QUICK_S_MAX))
    return answer.status, code_of(answer.body) if answer.status >= 400 else ""


def asking(target: bytes, *lines: bytes, version: bytes = b"1.1") -> bytes:
    head = [b"GET " + target + b" HTTP/" + version, b"Host: node", b"Connection: close", *lines, b"", b""]
    return b"\r\n".join(head)


# Targets (RELIABILITY A27 and A28, finding 5).

TRICKS: Final = (
    *(b"%2e%2e", b"%2E%2E/x", b"..", b"../..", b".", b"x/../y", b"%2e", b"%2f", b"x%2fy", b"x%2Fy", b"%5c", b"x\\y"),
    *(b"%00", b"x%00", b"%0d%0aX: y", b"%0a", b"%09", b"%7f", b"%c0%ae%c0%ae", b"%e0%80%af", b"\xc0\xae", b"\xff"),
    *(
        "é".encode(),
        "\u017f".encode(),
        "\u0661".encode(),
        b"%",
        b"%zz",
        b"%25",
        b"x//y",
        b"/x",
        b"x/",
        b"",
        b"-x",
        b"x-",
    ),
    *(b"X", b"x" * 300, b"x/" * 200 + b"x", b"x;y", b"x:y", b"x@y", b"x'y", b'x"y', b"x<y", b"~", b"*", b"x&y", b"x=y"),
)


@pytest.mark.parametrize("lane", ["tag", "blob", "push"])
async def test_a_name_outside_the_grammar_reaches_nothing(node: RunningNode, lane: str) -> None:
    """RELIABILITY A27: 400 or 404 for each trick in a repository name, decoded by nobody; never 200, never 500."""
    ends = {"tag": b"/manifests/v1", "blob": b"/blobs/" + EMPTY.encode(), "push": b"/blobs/uploads/"}
    for trick in TRICKS:
        for name in (trick, b"raw/" + trick, trick + b"/app"):
            request = asking(b"/v2/" + name + ends[lane])
            if lane == "push":
                request = request.replace(b"GET", b"POST", 1)
            status, _ = await answered(node, request)
            assert status in (400, 404), (name, status)


async def test_a_reference_outside_the_grammar_reaches_nothing(node: RunningNode) -> None:
    """RELIABILITY A27, for tags, digests, sessions and subjects."""
    fine = {b"X", b"x-", b"x", b""}
    for trick in TRICKS:
        for kind in (b"manifests", b"blobs", b"referrers", b"blobs/uploads"):
            if trick in fine:
                continue
            status, _ = await answered(node, asking(b"/v2/raw/app/" + kind + b"/" + trick))
            assert status in (400, 404), (kind, trick, status)


@pytest.mark.parametrize(
    "target",
    [
        *(b"//v2/raw/app/manifests/v1", b"/v2//raw/app/manifests/v1", b"/./v2/", b"/../v2/", b"/v2/../v2/", b"/v2/."),
        *(b"/V2/", b"/v2/%5fcatalog", b"/%76%32/", b"/healthz/", b"/healthz/../v2/", b"/healthz%00", b"/metrics/.."),
        *(b"/v2\\", b"/v2/_catalog/", b"/v2/_catalog/../", b"/v2/raw/app/tags/list/", b"/v2/raw/app/tags/list%3fn=1"),
        *(b"/v2/raw/app/manifests/v1/", b"/v2/raw/app/manifests/", b"/v2/raw/app/manifests", b"/favicon.ico"),
        *(
            b"/v2/raw/app/manifests/v1%0d%0aSet-Cookie:%20x",
            b"/v2/raw/app/manifests/v1%00.json",
            b"/\xff\xfe",
            b"/v2/\xff",
        ),
        *(
            b"/v2/_catalog?x=\xff&n=1",
            b"/v2/raw/app/tags/list?n=0&x=\xc0\xae",
            b"/v2/?\x7f",
            b"/v2/raw/app/manifests/v1?ns=\xff",
        ),
        *(
            b"*",
            b"v2/",
            b"http://evil.example/v2/",
            b"http://node/v2/",
            b"HTTP://node/v2/",
            b"node:80",
            b"?",
            b"#",
            b"@",
        ),
        b"/v2/" + b"x" * 9_000 + b"/tags/list",
    ],
)
async def test_a_target_that_is_no_path_of_ours_is_refused(node: RunningNode, target: bytes) -> None:
    """RELIABILITY findings 5 and 6: only what is in the table, letter by letter; absolute-form is for proxies."""
    status, _ = await answered(node, asking(target))
    assert status in (400, 404)


async def test_a_fragment_or_an_empty_query_means_nothing(node: RunningNode) -> None:
    """RFC 9110 section 4.2.5: fragments are the client's own; `?` alone is no query."""
    for target in (b"/v2/raw/app/manifests/v1?", b"/v2/raw/app/manifests/v1?x", b"/v2/raw/app/manifests/v1?#x"):
        assert await answered(node, asking(target)) == (200, "")


@pytest.mark.parametrize(
    "host",
    [
        b"a b",
        b"a/b",
        b"a@b",
        b"a\x7f",
        b"<script>",
        b"a:b",
        b"a:999999",
        b"\xc3\xa9",
        b"a,b",
        b"[::1",
        b"a?b",
        b"a#b",
        b"",
    ],
)
async def test_a_bad_host_is_refused(node: RunningNode, host: bytes) -> None:
    """RELIABILITY finding 6: aiohttp answers these 200; RFC 9112 section 3.2 wants 400."""
    request = b"GET /v2/ HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n"
    assert await answered(node, request) == (400, "UNSUPPORTED")


@pytest.mark.parametrize("host", [b"node", b"127.0.0.1:5000", b"[::1]:5000", b"a-b.c_d.example:1"])
async def test_any_good_host_is_as_good(node: RunningNode, host: bytes) -> None:
    """RELIABILITY finding 6: no answer depends on it."""
    request = b"GET /v2/ HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n"
    assert await answered(node, request) == (200, "")


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


# Bodies.


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
