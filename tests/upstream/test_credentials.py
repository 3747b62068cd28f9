"""Challenges met over the wire: Basic, Bearer, and who sees the credential (nobody else)."""

import asyncio
import base64
from collections.abc import Callable
from pathlib import Path

import pytest
from standin import Bearer, Fault, Standin

from mirror.oci.digest import parse_digest
from mirror.oci.errors import ManifestUnknown, UpstreamDenied, UpstreamError, UpstreamTimeout
from mirror.rules.freshness import Need
from mirror.upstream import Upstream

NAME = "library/app"
Connect = Callable[..., Upstream]


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text("päss:word\n")
    return path


@pytest.fixture
def known(connect: Connect, standin: Standin, password_file: Path) -> Upstream:
    """A client with a credential, and an image to ask for."""
    standin.add_image(NAME, "v1")
    return connect(standin, username="robot", password_file=str(password_file))


async def test_basic_is_given_when_asked_for_and_then_at_once(known: Upstream, standin: Standin) -> None:
    standin.basic = ("robot", "päss:word")
    await known.get_manifest(NAME, "v1", Need.TAG)
    await known.get_manifest(NAME, "v1", Need.TAG)
    given = [seen.headers.get("authorization") for seen in standin.seen]
    expected = "Basic " + base64.b64encode("robot:päss:word".encode()).decode()
    assert given == [None, expected, expected]


async def test_a_wrong_password_is_denied_and_tried_once(
    known: Upstream, standin: Standin, password_file: Path
) -> None:
    """Upstream's 401 to our credential is a 502, never a 401; repeating it would lock the account."""
    standin.basic = ("robot", "other")
    for tries in (2, 3):
        with pytest.raises(UpstreamDenied) as caught:
            await known.get_manifest(NAME, "v1", Need.TAG)
        assert standin.count("manifest") == tries
    assert caught.value.status == 502
    assert "word" not in str(caught.value)


async def test_a_changed_password_file_is_read_again(known: Upstream, standin: Standin, password_file: Path) -> None:
    standin.basic = ("robot", "päss:word")
    await known.get_manifest(NAME, "v1", Need.TAG)
    password_file.write_text("new and longer\n")
    standin.basic = ("robot", "new and longer")
    await known.get_manifest(NAME, "v1", Need.TAG)


async def test_a_missing_password_file_is_said_clearly(connect: Connect, standin: Standin, tmp_path: Path) -> None:
    standin.basic = ("robot", "x")
    upstream = connect(standin, username="robot", password_file=str(tmp_path / "none"))
    with pytest.raises(UpstreamDenied, match="password_file"):
        await upstream.get_manifest(NAME, "v1", Need.TAG)


async def test_an_anonymous_rule_is_denied_by_a_basic_challenge(upstream: Upstream, standin: Standin) -> None:
    standin.basic = ("robot", "x")
    with pytest.raises(UpstreamDenied):
        await upstream.get_manifest(NAME, "v1", Need.TAG)
    assert standin.count() == 1


@pytest.mark.parametrize("field_name", ["token", "access_token"])
async def test_one_token_serves_a_repository_until_it_expires(
    upstream: Upstream, standin: Standin, field_name: str
) -> None:
    image = standin.add_image(NAME, "v1")
    standin.bearer = Bearer(field_name=field_name)
    await upstream.get_manifest(NAME, "v1", Need.TAG)
    await upstream.head_blob(NAME, parse_digest(image.config), Need.DIGEST)
    await upstream.tags(NAME, Need.TAG)
    assert standin.count("token") == 1
    assert standin.asked("token")[0].target == "/token?service=standin&scope=repository:library/app:pull"


async def test_a_token_is_asked_with_the_credential(known: Upstream, standin: Standin) -> None:
    standin.bearer = Bearer("robot", "päss:word")
    await known.get_manifest(NAME, "v1", Need.TAG)
    assert [seen.headers.get("authorization", "")[:6] for seen in standin.seen] == ["", "Basic ", "Bearer"]


async def test_each_repository_has_its_own_token(upstream: Upstream, standin: Standin) -> None:
    """One token per (upstream, scope)."""
    standin.bearer = Bearer()
    for name in ("a", "b", "a"):
        standin.add_image(name, "v1")
        await upstream.get_manifest(name, "v1", Need.TAG)
    assert standin.count("token") == 2


async def test_many_callers_cost_one_token(upstream: Upstream, standin: Standin) -> None:
    standin.add_image(NAME, "v1")
    standin.bearer = Bearer()
    await asyncio.gather(*(upstream.get_manifest(NAME, "v1", Need.TAG) for _ in range(20)))
    assert standin.count("token") == 1


async def test_a_caller_that_leaves_hands_its_turn_to_the_next(upstream: Upstream, standin: Standin) -> None:
    standin.add_image(NAME, "v1")
    standin.bearer = Bearer()
    standin.fault = Fault(on="token", hang=True, times=1)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(upstream.get_manifest(NAME, "v1", Need.TAG))
        await standin.stalled.wait()
        others = [group.create_task(upstream.get_manifest(NAME, "v1", Need.TAG)) for _ in range(5)]
        for _ in range(10):  # turns of the loop: the others come to wait for the same token
            await asyncio.sleep(0)
        first.cancel()
    assert all(task.result().data for task in others)
    assert standin.count("token") == 2


async def test_those_who_waited_share_the_failure(upstream: Upstream, standin: Standin) -> None:
    standin.bearer = Bearer("somebody", "else")
    calls = [upstream.get_manifest(NAME, "v1", Need.TAG) for _ in range(10)]
    errors = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(error) for error in errors} == {UpstreamDenied}
    assert standin.count("token") == 1


async def test_an_expired_token_is_renewed_before_it_fails(upstream: Upstream, standin: Standin) -> None:
    standin.add_image(NAME, "v1")
    standin.bearer = Bearer(life_s=0.2)
    await upstream.get_manifest(NAME, "v1", Need.TAG)
    await asyncio.sleep(0.16)  # the margin of a life of 0.2 s begins at 0.15 s
    await upstream.get_manifest(NAME, "v1", Need.TAG)
    assert standin.count("token") == 2
    assert standin.count("manifest") == 3


async def test_a_token_rejected_in_the_middle_of_its_life_is_replaced_once(
    upstream: Upstream, standin: Standin
) -> None:
    """RELIABILITY section 4, "expired token mid-pull": one refresh, and the very same request again."""
    image = standin.add_image(NAME, "v1")
    standin.bearer = bearer = Bearer()
    await upstream.get_manifest(NAME, "v1", Need.TAG)
    bearer.revoke()
    layer = parse_digest(image.layers[0])
    async with upstream.get_blob(NAME, layer, 3) as body:
        assert b"".join([chunk async for chunk in body]) == standin.blobs[image.layers[0]][3:]
    assert standin.count("token") == 2
    assert {seen.headers["range"] for seen in standin.asked("blob")} == {"bytes=3-"}


async def test_a_token_that_never_helps_ends_denied(upstream: Upstream, standin: Standin) -> None:
    standin.bearer = Bearer(life_s=0.0)
    with pytest.raises(UpstreamDenied):
        await upstream.get_manifest(NAME, "v1", Need.TAG)
    assert (standin.count("token"), standin.count("manifest")) == (1, 2)


async def test_a_403_is_denied(upstream: Upstream, standin: Standin) -> None:
    standin.fault = Fault(status=403)
    with pytest.raises(UpstreamDenied):
        await upstream.get_manifest(NAME, "v1", Need.TAG)


async def test_a_404_after_the_token_is_still_unknown(upstream: Upstream, standin: Standin) -> None:
    standin.bearer = Bearer()
    with pytest.raises(ManifestUnknown):
        await upstream.get_manifest(NAME, "v1", Need.TAG)


@pytest.mark.parametrize(
    "answer", [b"{}", b"not json", b'{"token": ""}', b'{"token": "a\\r\\nX: y"}', b'{"token": 5}', b"x" * 100_000]
)
async def test_an_answer_without_a_usable_token_is_an_error(
    upstream: Upstream, standin: Standin, answer: bytes
) -> None:
    standin.bearer = Bearer(answer=answer)
    with pytest.raises(UpstreamError):
        await upstream.get_manifest(NAME, "v1", Need.TAG)


async def test_a_hanging_token_endpoint_ends_in_time(upstream: Upstream, standin: Standin) -> None:
    """The header time covers the token too."""
    standin.bearer = Bearer()
    standin.fault = Fault(on="token", hang=True)
    with pytest.raises(UpstreamTimeout):
        await upstream.get_manifest(NAME, "v1", Need.TAG)


async def test_a_realm_on_another_host_gets_nothing(
    known: Upstream, standin: Standin, content_network: Standin
) -> None:
    """RELIABILITY A17, CVE-2020-15157 and its kin."""
    standin.bearer = Bearer(realm=f"{content_network.url}/token")
    with pytest.raises(UpstreamError, match="realm"):
        await known.get_manifest(NAME, "v1", Need.TAG)
    assert content_network.seen == []


@pytest.mark.parametrize("realm", ["http://127.0.0.1:99999/t", "http://[::1/t", "file:///t", "http:///t", "//evil/t"])
async def test_a_realm_that_is_no_url_of_ours_gets_nothing(known: Upstream, standin: Standin, realm: str) -> None:
    standin.bearer = Bearer(realm=realm)
    with pytest.raises(UpstreamError) as caught:
        await known.get_manifest(NAME, "v1", Need.TAG)
    assert caught.value.status == 502
    assert all(not seen.headers.get("authorization") for seen in standin.seen)


async def test_a_realm_on_another_port_of_the_same_host_is_asked(known: Upstream, standin: Standin) -> None:
    """An authorization server beside its registry, e.g. registry:5000 and :5001."""
    async with Standin() as authorization_server:
        standin.bearer = authorization_server.bearer = Bearer(
            "robot", "päss:word", realm=f"{authorization_server.url}/token"
        )
        await known.get_manifest(NAME, "v1", Need.TAG)
        assert authorization_server.count("token") == 1


async def test_a_redirecting_token_endpoint_is_not_followed(
    known: Upstream, standin: Standin, content_network: Standin
) -> None:
    standin.bearer = Bearer()
    standin.fault = Fault(on="token", redirect=f"{content_network.url}{{target}}")
    with pytest.raises(UpstreamError):
        await known.get_manifest(NAME, "v1", Need.TAG)
    assert content_network.seen == []


async def test_no_credential_follows_a_redirect_to_another_host(
    known: Upstream, standin: Standin, content_network: Standin
) -> None:
    standin.basic = ("robot", "päss:word")
    await known.get_manifest(NAME, "v1", Need.TAG)
    image = content_network.add_image(NAME, "v2")
    standin.fault = Fault(redirect=f"{content_network.url}{{target}}")
    assert (await known.get_manifest(NAME, "v2", Need.TAG)).data == image.manifest
    assert "authorization" in standin.seen[-1].headers
    assert "authorization" not in content_network.seen[0].headers


async def test_no_credential_comes_back_with_a_redirect_from_another_host(
    known: Upstream, standin: Standin, content_network: Standin
) -> None:
    """A content network must not be able to make us ask our own registry for something in our name."""
    standin.basic = ("robot", "päss:word")
    await known.get_manifest(NAME, "v1", Need.TAG)
    standin.fault = Fault(redirect=f"{content_network.url}{{target}}", times=1)
    content_network.fault = Fault(redirect=f"{standin.url}{{target}}")
    with pytest.raises(UpstreamDenied):
        await known.get_manifest(NAME, "v1", Need.TAG)
    assert "authorization" not in standin.seen[-1].headers
