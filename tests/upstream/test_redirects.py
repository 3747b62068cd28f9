"""Redirects are followed by hand, and the place they lead to is used again."""

from collections.abc import Callable

import pytest
from standin import Fault, Standin
from yarl import URL

from mirror.oci.digest import Digest, parse_digest
from mirror.oci.errors import NameUnknown, UpstreamError
from mirror.rules.freshness import Need
from mirror.upstream import Upstream

NAME = "library/app"
DATA = b"0123456789" * 1_000
Connect = Callable[..., Upstream]


async def _read(upstream: Upstream, digest: Digest, start: int = 0) -> bytes:
    async with upstream.get_blob(NAME, digest, start) as body:
        return b"".join([chunk async for chunk in body])


@pytest.fixture
def digest(standin: Standin, content_network: Standin) -> Digest:
    """A blob that the registry serves from elsewhere."""
    standin.signed_at = content_network
    return parse_digest(standin.add_blob(DATA))


async def test_a_signed_url_is_followed_unchanged_and_reused_for_a_resume(
    upstream: Upstream, standin: Standin, content_network: Standin, digest: Digest
) -> None:
    assert await _read(upstream, digest) == DATA
    assert await _read(upstream, digest, 5_000) == DATA[5_000:]
    assert standin.count("blob") == 1
    assert {seen.target for seen in content_network.seen} == {f"/signed/{digest}?signature=0%2B%2F%3D"}
    assert content_network.seen[1].headers["range"] == "bytes=5000-"


async def test_an_expired_signed_url_is_asked_for_anew(
    upstream: Upstream, standin: Standin, content_network: Standin, digest: Digest
) -> None:
    await _read(upstream, digest)
    content_network.expire_signatures()
    assert await _read(upstream, digest) == DATA
    assert standin.count("blob") == 2
    assert content_network.count("signed") == 3


async def test_a_content_network_that_is_gone_is_not_the_registrys_failure(
    upstream: Upstream, standin: Standin, content_network: Standin, digest: Digest
) -> None:
    await content_network.stop()
    for _ in range(6):
        with pytest.raises(UpstreamError):
            await _read(upstream, digest)
    await upstream.ping(Need.REVALIDATION)


async def test_five_redirects_are_followed_and_no_more(upstream: Upstream, standin: Standin) -> None:
    image = standin.add_image(NAME, "v1")
    standin.fault = Fault(redirect="{target}", times=5)
    assert (await upstream.get_manifest(NAME, "v1", Need.TAG)).data == image.manifest
    standin.forget()
    standin.fault = Fault(redirect="{target}")
    with pytest.raises(UpstreamError, match="more than 5"):
        await upstream.get_manifest(NAME, "v1", Need.TAG)
    assert standin.count() == 6


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.2/x",
        "gopher://127.0.0.2/x",
        "http://user:word@127.0.0.2/x",
        "http://127.0.0.2:99999/x",
        "http:///x",
        "http://127.0.0.2/a b",
        "http://127.0.0.2/\xe4",
        "http://2130706433/x",
        "http://127.1/x",
    ],
)
async def test_a_place_that_must_not_be_followed_is_not(upstream: Upstream, standin: Standin, location: str) -> None:
    """RELIABILITY A18."""
    standin.fault = Fault(redirect=location)
    with pytest.raises(UpstreamError) as caught:
        await upstream.get_manifest(NAME, "v1", Need.TAG)
    assert caught.value.status == 502
    assert standin.count() == 1


async def test_a_redirect_never_steps_down_from_https(upstream: Upstream) -> None:
    conversation = upstream._calls.conversation
    with pytest.raises(UpstreamError):
        conversation._next_place(URL("https://r.example/v2/"), "http://r.example/v2/")
    assert conversation._next_place(URL("http://r.example/a"), "https://s.example/b#c") == URL("https://s.example/b")


async def test_a_forbidden_address_is_refused_at_connect_time(upstream: Upstream, standin: Standin) -> None:
    """127.0.0.9 stands for a metadata address; the check is behind any spelling of it."""
    async with Standin("127.0.0.9") as forbidden:
        forbidden.add_image(NAME, "v1")
        standin.fault = Fault(redirect=f"{forbidden.url}{{target}}")
        with pytest.raises(UpstreamError, match="may send us to"):
            await upstream.get_manifest(NAME, "v1", Need.TAG)
        assert forbidden.seen == []


async def test_a_404_at_the_end_of_a_redirect_is_upstreams_word(
    upstream: Upstream, standin: Standin, content_network: Standin
) -> None:
    """registry.k8s.io answers every read with a redirect to another registry."""
    standin.fault = Fault(redirect=f"{content_network.url}{{target}}")
    with pytest.raises(NameUnknown):
        await upstream.tags("none", Need.TAG)
