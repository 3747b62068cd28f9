"""Blobs over the wire: streamed, watched, and resumed where they broke."""

import asyncio
import hashlib
from collections.abc import Callable

import pytest
from standin import Fault, Standin, sha256

from mirror.oci.digest import Digest, parse_digest
from mirror.oci.errors import BlobUnknown, UpstreamError, UpstreamTimeout
from mirror.rules.freshness import Need
from mirror.upstream import BlobBody, Upstream

NAME = "library/app"
DATA = b"".join(hashlib.sha256(bytes([number])).digest() for number in range(256)) * 40  # 320 KiB, no two lines alike
Connect = Callable[..., Upstream]


async def _read(upstream: Upstream, digest: Digest, start: int = 0, end: int | None = None) -> tuple[BlobBody, bytes]:
    async with upstream.get_blob(NAME, digest, start, end) as body:
        return body, b"".join([chunk async for chunk in body])


@pytest.fixture
def digest(standin: Standin) -> Digest:
    return parse_digest(standin.add_blob(DATA))


async def test_a_blob_streams_whole(upstream: Upstream, standin: Standin, digest: Digest) -> None:
    body, data = await _read(upstream, digest)
    assert (body.start, body.size, body.etag) == (0, len(DATA), f'"{digest}"')
    assert data == DATA
    assert "range" not in standin.seen[0].headers


async def test_a_head_tells_the_size(upstream: Upstream, digest: Digest) -> None:
    assert await upstream.head_blob(NAME, digest, Need.DIGEST) == len(DATA)


async def test_a_page_of_html_is_no_blob(upstream: Upstream, standin: Standin, digest: Digest) -> None:
    """FIELD section 0, item 4: fail before the headers. A log-in page answers 200 to everything."""
    standin.fault = Fault(html=True)
    with pytest.raises(UpstreamError, match="HTML"):
        await upstream.head_blob(NAME, digest, Need.DIGEST)
    with pytest.raises(UpstreamError, match="HTML"):
        await _read(upstream, digest)


async def test_an_unknown_blob_is_blob_unknown(upstream: Upstream) -> None:
    none = parse_digest(sha256(b"none"))
    with pytest.raises(BlobUnknown):
        await upstream.head_blob(NAME, none, Need.DIGEST)
    with pytest.raises(BlobUnknown):
        await _read(upstream, none)


@pytest.mark.parametrize(
    ("start", "end", "header"),
    [
        (1, None, "bytes=1-"),
        (100_000, 200_000, "bytes=100000-199999"),
        (0, 10, "bytes=0-9"),
        (5, len(DATA) + 99, f"bytes=5-{len(DATA) + 98}"),
    ],
)
async def test_a_range_is_asked_and_checked(
    upstream: Upstream, standin: Standin, digest: Digest, start: int, end: int | None, header: str
) -> None:
    """RFC 9110 section 14: both ends of `bytes=a-b` count."""
    body, data = await _read(upstream, digest, start, end)
    assert (body.start, body.size) == (start, len(DATA))
    assert data == DATA[start:end]
    assert standin.seen[0].headers["range"] == header


async def test_an_ignored_range_starts_at_zero(upstream: Upstream, standin: Standin, digest: Digest) -> None:
    standin.fault = Fault(ignore_range=True)
    body, data = await _read(upstream, digest, 1_000)
    assert (body.start, data) == (0, DATA)


@pytest.mark.parametrize("said", ["bytes 0-9/327680", "bytes 1000-1009/327680", "bytes 9-1/5", "pages 1-2/3", ""])
async def test_another_range_than_asked_is_an_error(
    upstream: Upstream, standin: Standin, digest: Digest, said: str
) -> None:
    """Bytes in the wrong place would only be noticed at the digest, after the whole blob."""
    standin.fault = Fault(headers={"Content-Range": said})
    with pytest.raises(UpstreamError):
        await _read(upstream, digest, 1_000)


async def test_a_range_past_the_end_is_an_error(upstream: Upstream, digest: Digest) -> None:
    with pytest.raises(UpstreamError):
        await _read(upstream, digest, len(DATA))


async def test_a_cut_blob_resumes_where_it_broke(upstream: Upstream, standin: Standin, digest: Digest) -> None:
    standin.fault = Fault(cut_after=100_000, times=1)
    got = bytearray()
    with pytest.raises(UpstreamError, match="broke off after 100000"):
        async with upstream.get_blob(NAME, digest) as body:
            async for chunk in body:
                got += chunk
    assert bytes(got) == DATA[:100_000]
    _, rest = await _read(upstream, digest, len(got))
    assert bytes(got) + rest == DATA


async def test_bytes_without_a_length_are_passed_on_for_the_digest_to_judge(
    upstream: Upstream, standin: Standin, digest: Digest
) -> None:
    """RELIABILITY section 4: close-delimited is accepted only if size and digest match, which the caller checks."""
    standin.fault = Fault(no_length=True, cut_after=1_000)
    body, data = await _read(upstream, digest)
    assert body.size is None
    assert data == DATA[:1_000]


async def test_a_coded_body_is_refused(upstream: Upstream, standin: Standin, digest: Digest) -> None:
    """RELIABILITY A3: a digest of coded bytes is ambiguous."""
    standin.fault = Fault(gzip=True)
    with pytest.raises(UpstreamError, match="coded"):
        await _read(upstream, digest)


async def test_a_drip_is_a_stall(upstream: Upstream, standin: Standin, digest: Digest) -> None:
    """RELIABILITY section 4: aiohttp's own clock never fires while single bytes arrive."""
    standin.fault = Fault(drip_bytes_s=1_000)
    async with asyncio.timeout(3):
        with pytest.raises(UpstreamTimeout, match="slower than"):
            await _read(upstream, digest)
    assert 0 < standin.sent_bytes["blob", str(digest)] < 2_000


async def test_a_hang_in_the_middle_is_a_stall(upstream: Upstream, standin: Standin, digest: Digest) -> None:
    standin.fault = Fault(hang_after=1_000)
    async with asyncio.timeout(3):
        with pytest.raises(UpstreamTimeout):
            await _read(upstream, digest)


async def test_slow_but_above_the_minimum_goes_on(upstream: Upstream, standin: Standin, digest: Digest) -> None:
    standin.fault = Fault(drip_bytes_s=40_000)
    async with upstream.get_blob(NAME, digest, 0, 30_000) as body:
        assert len(b"".join([chunk async for chunk in body])) == 30_000


async def test_a_slow_reader_does_not_look_like_a_slow_upstream(
    upstream: Upstream, standin: Standin, digest: Digest
) -> None:
    """The clock runs only while the node waits for upstream: 0.5 s of our own disk is not a stall of 0.3 s."""
    standin.fault = Fault(hang_after=1_000)
    async with upstream.get_blob(NAME, digest) as body:
        chunks = aiter(body)
        got = len(await anext(chunks))
        await asyncio.sleep(0.5)
        standin.resume()
        async for chunk in chunks:
            got += len(chunk)
    assert got == len(DATA)


async def test_leaving_early_drops_the_rest(connect: Connect, standin: Standin) -> None:
    large = parse_digest(standin.add_blob(bytes(32 * 1024 * 1024)))
    upstream = connect(standin)
    async with upstream.get_blob(NAME, large) as body:
        async for _ in body:
            break
    await upstream.ping(Need.DIGEST)
    assert standin.sent_bytes["blob", str(large)] < 16 * 1024 * 1024


async def test_a_body_does_not_end_with_the_header_clock(upstream: Upstream, standin: Standin) -> None:
    """The 10 s (here 1 s) are for headers: a large blob may take as long as it flows."""
    digest = parse_digest(standin.add_blob(DATA[:26_000]))
    standin.fault = Fault(drip_bytes_s=22_000)
    _, data = await _read(upstream, digest)
    assert data == DATA[:26_000]
