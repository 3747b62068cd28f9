"""Targets and hosts byte by byte: what is no path of ours reaches nothing, and nobody decodes it first."""

from collections.abc import AsyncIterator
from typing import Final

import pytest
import pytest_asyncio
from pushing import answered, asking, push_image, sha256
from running import RunningNode, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAME: Final = "raw/app"
EMPTY: Final = sha256(b"")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningNode]:
    async with running(tmp_path_factory.mktemp("node")) as node:
        await push_image(node, NAME, "v1")
        yield node


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
