"""Parts of what is there: one range, several, none that fits, and the conditions on them; blobs and manifests."""

import random
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from pushing import ask, code_of, push_blob, push_image, put_manifest, sha256
from running import RunningNode, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

SMALL = bytes(range(256)) * 4  # in the index
LARGE = random.Random(7).randbytes(300_000)  # in a file


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningNode]:
    async with running(tmp_path_factory.mktemp("node")) as node:
        yield node


@dataclass(frozen=True, slots=True)
class Thing:
    """Something with bytes that can be asked for in parts."""

    path: str
    etag: str
    media_type: str
    data: bytes


async def things(node: RunningNode) -> list[Thing]:
    """A small blob, a large one, a manifest by tag and by digest."""
    found = []
    for data in (SMALL, LARGE):
        digest = await push_blob(node, "ranges", data)
        found.append(Thing(f"/v2/ranges/blobs/{digest}", f'"{digest}"', "application/octet-stream", data))
    image = await push_image(node, "ranges", "v1")
    for reference in ("v1", image.digest):
        media_type = "application/vnd.oci.image.manifest.v1+json"
        found.append(Thing(f"/v2/ranges/manifests/{reference}", f'"{image.digest}"', media_type, image.manifest))
    return found


async def ranged(node: RunningNode, thing: Thing, text: str, **headers: str) -> tuple[int, Any, bytes]:
    return await node.fetch(thing.path, headers={"Range": text, **headers})


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("bytes=0-", 0, None),
        ("bytes=0-0", 0, 0),
        ("bytes=0-99", 0, 99),
        ("bytes=100-199", 100, 199),
        ("bytes=100-", 100, None),
        ("bytes=100-99999999999", 100, None),
        ("bytes=-1", -1, None),
        ("bytes=-100", -100, None),
        ("bytes=-99999999999", 0, None),
        ("BYTES=5-6", 5, 6),
    ],
)
async def test_one_range_is_answered_by_its_bytes(node: RunningNode, text: str, first: int, last: int | None) -> None:
    """CLIENTS quirk 7: `bytes=N-`, `a-b`, `-n`, on blobs and on manifests; 206 with Content-Range and whole headers."""
    for thing in await things(node):
        size = len(thing.data)
        start = first % size if first else 0
        end = size if last is None else last + 1
        status, headers, body = await ranged(node, thing, text)
        assert (status, body) == (206, thing.data[start:end]), thing
        assert headers["Content-Range"] == f"bytes {start}-{end - 1}/{size}"
        assert headers["Content-Length"] == str(end - start)
        assert (headers["ETag"], headers["Content-Type"]) == (thing.etag, thing.media_type)
        assert headers["Docker-Content-Digest"] == thing.etag.strip('"')


@pytest.mark.parametrize("text", ["bytes=500-0", "bytes=99999999-", "bytes=99999999-99999999999", "bytes=-0"])
async def test_a_range_outside_the_bytes_is_refused_with_their_count(node: RunningNode, text: str) -> None:
    """CLIENTS quirk 7 and conformance: 416 with `Content-Range: bytes */size`, for `500-0` too."""
    for thing in await things(node):
        status, headers, body = await ranged(node, thing, text)
        assert (status, code_of(body)) == (416, "RANGE_INVALID"), thing
        assert headers["Content-Range"] == f"bytes */{len(thing.data)}"


@pytest.mark.parametrize(
    "text", ["lines=0-5", "bytes", "bytes=", "bytes=a-b", "bytes=\u0660-\u0669", "bytes=-", "bytes=1", ""]
)
async def test_what_is_no_range_is_ignored(node: RunningNode, text: str) -> None:
    """RFC 9110 section 14.2: an invalid ranges-specifier or an unknown unit is ignored: the whole, 200."""
    for thing in await things(node):
        status, headers, body = await ranged(node, thing, text)
        assert (status, body, "Content-Range" in headers) == (200, thing.data, False)


def parts_of(headers: Any, body: bytes) -> list[tuple[str, str, bytes]]:
    """Take multipart/byteranges apart by hand: type, Content-Range and bytes of each part."""
    match = re.fullmatch(r"multipart/byteranges; boundary=([0-9A-Za-z]+)", headers["Content-Type"])
    assert match
    mark = b"--" + match[1].encode()
    preamble, *pieces, end = (b"\r\n" + body.lstrip(b"\r\n")).split(b"\r\n" + mark)
    assert (preamble, end) == (b"", b"--\r\n")
    found = []
    for piece in pieces:
        head, _, data = piece.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().strip().split("\r\n"))
        found.append((fields["Content-Type"], fields["Content-Range"], data))
    return found


@pytest.mark.parametrize("spans", [[(0, 0), (2, 2)], [(100, 199), (10, 20)], [(0, 9), (5, 14)], [(0, 99), (900, 1023)]])
async def test_several_ranges_are_answered_in_parts(node: RunningNode, spans: list[tuple[int, int]]) -> None:
    """CLIENTS quirk 8: 206 multipart/byteranges in the order asked, as c/image needs of zstd:chunked layers."""
    text = "bytes=" + ",".join(f"{first}-{last}" for first, last in spans)
    for thing in (await things(node))[:2]:
        status, headers, body = await ranged(node, thing, text)
        assert (status, headers["Content-Length"]) == (206, str(len(body)))
        wanted = [
            (thing.media_type, f"bytes {first}-{last}/{len(thing.data)}", thing.data[first : last + 1])
            for first, last in spans
        ]
        assert parts_of(headers, body) == wanted


async def test_of_several_ranges_those_that_fit_are_answered(node: RunningNode) -> None:
    """RFC 9110 section 15.3.7: 206 when one is satisfiable; a single part that is left needs no multipart."""
    small, large, *_ = await things(node)
    for thing in (small, large):
        status, headers, body = await ranged(node, thing, "bytes=99999999-,3-4")
        assert (status, headers["Content-Range"]) == (206, f"bytes 3-4/{len(thing.data)}")
        assert body == thing.data[3:5]
        status, headers, _ = await ranged(node, thing, "bytes=99999999-,88888888-")
        assert (status, headers["Content-Range"]) == (416, f"bytes */{len(thing.data)}")


async def test_as_many_ranges_as_a_client_needs_and_no_more(node: RunningNode) -> None:
    """RELIABILITY A2: 64 ranges are answered; more are ignored and the whole is sent, which c/image takes."""
    _, large, *_ = await things(node)
    for count in (64, 65, 500):
        status, headers, body = await ranged(node, large, "bytes=" + ",".join(f"{n * 9}-{n * 9}" for n in range(count)))
        if count > 64:
            assert (status, body) == (200, LARGE)
        else:
            assert [data for _, _, data in parts_of(headers, body)] == [LARGE[n * 9 : n * 9 + 1] for n in range(count)]


async def test_a_range_on_a_condition_holds_while_the_bytes_are_the_same(node: RunningNode) -> None:
    """RFC 9110 section 13.1.5: If-Range with our ETag = 206; with another, a weak one or a date = the whole."""
    for thing in await things(node):
        assert (await ranged(node, thing, "bytes=1-2", **{"If-Range": thing.etag}))[0] == 206
        for other in ('"sha256:other"', f"W/{thing.etag}", "Sat, 01 Jan 2000 00:00:00 GMT", thing.etag.strip('"')):
            status, _, body = await ranged(node, thing, "bytes=1-2", **{"If-Range": other})
            assert (status, body) == (200, thing.data), other
        assert (await ranged(node, thing, "bytes=500-0", **{"If-Range": '"other"'}))[0] == 200


async def test_a_condition_comes_before_a_range(node: RunningNode) -> None:
    """RFC 9110 section 13.2.2: If-None-Match is looked at first: 304, even where the range fits nothing."""
    for thing in await things(node):
        for text in ("bytes=0-1", "bytes=500-0"):
            assert (await ranged(node, thing, text, **{"If-None-Match": thing.etag}))[0] == 304


async def test_a_range_means_nothing_to_head(node: RunningNode) -> None:
    """RFC 9110 section 14.2: Range is defined for GET only; HEAD tells of the whole."""
    for thing in await things(node):
        status, headers, _ = await ask(node, "HEAD", thing.path, headers={"Range": "bytes=0-1"})
        assert (status, headers["Content-Length"], "Content-Range" in headers) == (200, str(len(thing.data)), False)


@pytest.mark.parametrize("text", ["bytes=0-", "bytes=0-0", "bytes=-5"])
async def test_any_range_of_nothing_is_the_whole_of_it(node: RunningNode, text: str) -> None:
    """CLIENTS quirk 8: 416 makes a pull fail, so a client that ranges every request still gets an empty blob."""
    digest = await push_blob(node, "ranges", b"")
    status, headers, body = await node.fetch(f"/v2/ranges/blobs/{digest}", headers={"Range": text})
    assert (status, headers["Content-Length"], body) == (200, "0", b"")


async def test_ranges_on_one_connection_do_not_mix(node: RunningNode) -> None:
    """The express lane and the normal way share a connection: each answer is the one to its request."""
    for thing in await things(node):
        assert (await node.fetch(thing.path))[2] == thing.data
        assert (await ranged(node, thing, "bytes=7-9"))[2] == thing.data[7:10]
        assert (await node.fetch(thing.path))[2] == thing.data
    assert (await put_manifest(node, "ranges", sha256(b"x"), b"{}"))[0] == 400
