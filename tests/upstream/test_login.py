"""Logins that somebody is asked for, logging in on purpose, and upstreams that a call of the API named."""

import base64
from collections.abc import AsyncIterator, Callable
from ipaddress import ip_network

import pytest
from standin import Bearer, Standin
from upstream.conftest import CLOCKS

from mirror.oci.errors import UpstreamDenied, UpstreamError
from mirror.rules.freshness import Need
from mirror.rules.routing import UpstreamRule
from mirror.upstream import Upstream
from mirror.upstream.addresses import FORBIDDEN

NAME = "library/app"
Connect = Callable[..., Upstream]


@pytest.fixture
async def connected() -> AsyncIterator[Connect]:
    """Make clients by the constructor itself: `connected(url, credential=..., asked_for=...)`."""
    made: list[Upstream] = []

    def connect(url: str, **options: object) -> Upstream:
        rule = UpstreamRule("upstream.test", url, username="never", password_file="/nowhere")
        made.append(Upstream(rule, clocks=CLOCKS, **options))  # type: ignore[arg-type]
        return made[-1]

    yield connect
    for upstream in made:
        await upstream.close()


async def test_a_login_is_asked_for_each_time(connected: Connect, standin: Standin) -> None:
    """In place of the rule's own user name and file; a changed password needs no restart."""
    standin.add_image(NAME, "v1")
    logins = [("robot", "päss:word"), ("robot", "two")]
    upstream = connected(standin.url, credential=lambda: logins[0])
    standin.basic = logins[0]
    await upstream.get_manifest(NAME, "v1", Need.TAG)
    del logins[0]
    standin.basic = logins[0]
    await upstream.get_manifest(NAME, "v1", Need.TAG)
    expected = base64.b64encode(b"robot:two").decode()
    assert standin.seen[-1].headers["authorization"] == f"Basic {expected}"


async def test_a_login_that_cannot_be_had_is_no_anonymous_try(connected: Connect, standin: Standin) -> None:
    """An anonymous try would hide the operator's mistake."""
    standin.bearer = Bearer()

    def login() -> tuple[str, str]:
        raise UpstreamDenied("no such secret")

    with pytest.raises(UpstreamDenied, match="no such secret"):
        await connected(standin.url, credential=login).get_manifest(NAME, "v1", Need.TAG)
    assert standin.count("token") == 0


@pytest.mark.parametrize("password", ["word", "wrong"])
@pytest.mark.parametrize("way", ["basic", "bearer"])
async def test_logging_in_tells_whether_the_credential_is_good(
    connected: Connect, standin: Standin, way: str, password: str
) -> None:
    """As `docker login`: the registry's base, with what it challenges for."""
    if way == "basic":
        standin.basic = ("robot", "word")
    else:
        standin.bearer = Bearer("robot", "word")
    upstream = connected(standin.url, credential=lambda: ("robot", password))
    if password == "word":
        await upstream.log_in(Need.TAG)
    else:
        with pytest.raises(UpstreamDenied):
            await upstream.log_in(Need.TAG)
    assert standin.count("base") >= 1


async def test_an_upstream_that_a_call_named_is_not_on_a_forbidden_address(connected: Connect) -> None:
    """RELIABILITY A18: the operator's file may name any address, a caller of the API may not."""
    async with Standin("127.0.0.9") as standin:
        standin.add_image(NAME, "v1")
        forbidden = (*FORBIDDEN, ip_network("127.0.0.9/32"))
        await connected(standin.url, forbidden=forbidden).get_manifest(NAME, "v1", Need.TAG)
        asked = standin.count()
        with pytest.raises(UpstreamError):
            await connected(standin.url, forbidden=forbidden, asked_for=True).get_manifest(NAME, "v1", Need.TAG)
        assert standin.count() == asked
        # A private address is none of those: a registry of one's own network is what rules are made for.
        await connected(standin.url, asked_for=True).get_manifest(NAME, "v1", Need.TAG)
