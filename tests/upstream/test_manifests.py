"""Manifests over the wire: what is asked is what is kept, or nothing is."""

import asyncio
from collections.abc import Callable

import pytest
from standin import OCI_INDEX, OCI_MANIFEST, Fault, Standin, sha256

from mirror.oci.digest import parse_digest
from mirror.oci.errors import ManifestUnknown, UpstreamError, UpstreamTimeout
from mirror.oci.media import ACCEPT
from mirror.rules.freshness import Need
from mirror.upstream import FetchedManifest, ManifestHead, Upstream

NAME = "library/app"


async def test_a_head_tells_digest_type_and_size(upstream: Upstream, standin: Standin) -> None:
    image = standin.add_image(NAME, "v1")
    head = await upstream.head_manifest(NAME, "v1", Need.TAG)
    assert head == ManifestHead(parse_digest(image.digest), OCI_MANIFEST, len(image.manifest))
    assert standin.count("manifest", method="GET") == 0


async def test_a_manifest_comes_bit_exact(upstream: Upstream, standin: Standin) -> None:
    index = standin.add_index(NAME, "v1")
    fetched = await upstream.get_manifest(NAME, "v1", Need.TAG)
    assert fetched == FetchedManifest(index.manifest, OCI_INDEX, parse_digest(index.digest))


async def test_upstream_is_asked_for_all_types_as_plain_bytes(upstream: Upstream, standin: Standin) -> None:
    """CLIENTS quirk 5: never a client's own Accept. RELIABILITY A3: identity."""
    standin.add_image(NAME, "v1")
    await upstream.get_manifest(NAME, "v1", Need.TAG)
    headers = standin.seen[0].headers
    assert headers["accept"] == ACCEPT
    assert headers["accept-encoding"] == "identity"
    assert headers["user-agent"] == "mirror/test"
    assert "range" not in headers


async def test_a_head_without_a_digest_says_so(upstream: Upstream, standin: Standin) -> None:
    standin.add_image(NAME, "v1")
    standin.digest_header = False
    assert (await upstream.head_manifest(NAME, "v1", Need.TAG)).digest is None
    assert (await upstream.get_manifest(NAME, "v1", Need.TAG)).digest is None


async def test_another_manifest_than_the_asked_digest_is_never_returned(upstream: Upstream, standin: Standin) -> None:
    """RELIABILITY A6, GHSA-qv35: a valid manifest under the wrong digest."""
    asked, other = standin.add_image(NAME, "v1"), standin.add_image(NAME, "v2")
    standin.manifests[NAME, asked.digest] = (OCI_MANIFEST, other.manifest)
    with pytest.raises(UpstreamError, match="not sha256"):
        await upstream.get_manifest(NAME, parse_digest(asked.digest), Need.DIGEST)


async def test_a_digest_header_that_lies_about_its_bytes_is_an_error(upstream: Upstream, standin: Standin) -> None:
    """RELIABILITY A5."""
    standin.add_image(NAME, "v1")
    standin.fault = Fault(flip=7)
    with pytest.raises(UpstreamError):
        await upstream.get_manifest(NAME, "v1", Need.TAG)


async def test_a_head_that_names_another_digest_than_asked_is_an_error(upstream: Upstream, standin: Standin) -> None:
    image = standin.add_image(NAME, "v1")
    standin.fault = Fault(headers={"Docker-Content-Digest": sha256(b"other")})
    with pytest.raises(UpstreamError):
        await upstream.head_manifest(NAME, parse_digest(image.digest), Need.DIGEST)


@pytest.mark.parametrize("reference", ["none", sha256(b"none")])
async def test_a_404_is_manifest_unknown(upstream: Upstream, reference: str) -> None:
    asked = parse_digest(reference) if ":" in reference else reference
    with pytest.raises(ManifestUnknown):
        await upstream.head_manifest(NAME, asked, Need.TAG)
    with pytest.raises(ManifestUnknown):
        await upstream.get_manifest(NAME, asked, Need.TAG)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(html=True),
        Fault(gzip=True),
        Fault(status=204),
        Fault(status=302),
        Fault(status=400),
        Fault(status=405),
        Fault(cut_after=20),
        Fault(short=20),
        Fault(long=20),
        Fault(headers={"Content-Length": str(5 * 1024 * 1024)}, cut_after=10),
        Fault(headers={"Content-Type": "text/plain"}),
        Fault(raw=b"220 smtp.example ESMTP\r\n"),
        Fault(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}\n"),
        Fault(raw=b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n"),
        Fault(raw=b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5_000 + b"\r\n"),
        Fault(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nnot json!"),
    ],
    ids=lambda fault: str(fault.raw[:30] or fault),
)
async def test_anything_but_a_manifest_is_an_upstream_error(upstream: Upstream, standin: Standin, fault: Fault) -> None:
    """RELIABILITY section 4: 404 only when upstream said so; trouble is 502."""
    standin.add_image(NAME, "v1")
    standin.fault = fault
    with pytest.raises(UpstreamError) as caught:
        await upstream.get_manifest(NAME, "v1", Need.TAG)
    assert caught.value.status == 502


async def test_an_endless_manifest_is_cut_off(upstream: Upstream, standin: Standin) -> None:
    """RELIABILITY A2: at most 4 MiB, told or not."""
    digest = standin.add_manifest(NAME, "v1", b"{" + b" " * (16 * 1024 * 1024), OCI_MANIFEST)
    standin.fault = Fault(no_length=True)
    with pytest.raises(UpstreamError, match="more than"):
        await upstream.get_manifest(NAME, parse_digest(digest), Need.DIGEST)
    assert standin.sent_bytes["manifest", digest] < 12 * 1024 * 1024


async def test_a_close_delimited_manifest_is_taken_when_its_digest_agrees(upstream: Upstream, standin: Standin) -> None:
    image = standin.add_image(NAME, "v1")
    standin.fault = Fault(no_length=True)
    assert (await upstream.get_manifest(NAME, "v1", Need.TAG)).data == image.manifest


@pytest.mark.parametrize(
    "fault", [Fault(hang=True), Fault(hang_after=10), Fault(raw=b"HTTP/1.1 103 E\r\n\r\n" * 9, delay_s=9)]
)
async def test_a_call_ends_in_time_whatever_hangs(upstream: Upstream, standin: Standin, fault: Fault) -> None:
    """Cold content gets a clear 504 within the header time."""
    standin.add_image(NAME, "v1")
    standin.fault = fault
    async with asyncio.timeout(4):
        with pytest.raises(UpstreamTimeout) as caught:
            await upstream.get_manifest(NAME, "v1", Need.TAG)
    assert caught.value.status == 504


async def test_calls_share_connections(connect: Callable[..., Upstream], standin: Standin) -> None:
    standin.add_image(NAME, "v1")
    upstream = connect(standin)
    for _ in range(5):
        await upstream.get_manifest(NAME, "v1", Need.TAG)
    assert len(standin._tasks) == 1
