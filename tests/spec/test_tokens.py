"""The token endpoint: what docker, podman and containerd ask it, what its tokens open, and what they do not."""

import base64
import json
import time
from collections.abc import AsyncIterator
from typing import Any, Final
from urllib.parse import urlencode

import pytest
import pytest_asyncio
from accounts import (
    ADMIN,
    DELETER,
    DOMAIN,
    NOBODY,
    OTHER,
    OWNER,
    PULLER,
    STRANGER,
    Client,
    Town,
    allow,
    basic,
    host_of,
    policy,
    populated,
)
from pushing import PushedImage, ask, code_of, push_blob, push_image, put_manifest, read_answers, sha256

from mirror.config.settings import Host

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAME: Final = "team/app"
TOKENS: Final = "tokens.example"
MORE: Final = "more.example"
THEIRS: Final = "theirs.example"
PUBLIC: Final = f"public.{DOMAIN}"
HOSTS: Final = (
    Host(TOKENS, login="token"),
    Host(MORE, login="token"),
    Host(THEIRS, account=OTHER, login="token"),
    Host("gallery.example", registry="public"),
)
FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with populated(tmp_path_factory.mktemp("town"), hosts=HOSTS) as town:
        yield town


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def image(town: Town) -> PushedImage:
    image = await push_image(town.client(ADMIN), NAME, "v1")
    await push_image(town.client(ADMIN), "open/app", "v1")
    await town.set_policy("open/app", policy(allow("*", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")))
    return image


async def given(client: Client, query: str = "", path: str = "/token/") -> dict[str, Any]:
    """Ask for a token, which is given; return what was said."""
    status, headers, body = await client.fetch(f"{path}?{query}" if query else path)
    assert status == 200, body
    assert headers["Content-Type"] == "application/json"
    assert headers["Cache-Control"] == "no-store"
    said = json.loads(body)
    assert said["token"] == said["access_token"]
    return dict(said)


def granted(said: dict[str, Any]) -> dict[str, list[str]]:
    """Read what a token's claims grant, as a client could."""
    claims = json.loads(base64.urlsafe_b64decode(said["token"].split(".")[1] + "=="))
    return {scope["name"]: scope["actions"] for scope in claims["access"]}


async def bearing(town: Town, client: Client, *scopes: str, host: str = TOKENS) -> Client:
    said = await given(client, urlencode([("scope", scope) for scope in scopes]))
    return town.client(host=host, credential=f"Bearer {said['token']}")


# What clients ask.


async def test_docker_login_asks_without_a_scope(town: Town) -> None:
    """ECR.md 3.4 [X]: account, client_id, offline_token, service, Basic, and no scope; then `/v2/` with the token."""
    client = town.client(ADMIN, host=TOKENS)
    said = await given(client, f"account=AWS&client_id=docker&offline_token=true&service={TOKENS}")
    assert granted(said) == {}
    assert 0 < said["expires_in"] <= 900
    assert time.strptime(said["issued_at"], "%Y-%m-%dT%H:%M:%SZ")
    bearer = town.client(host=TOKENS, credential=f"Bearer {said['token']}")
    assert (await bearer.fetch("/v2/"))[0] == 200


async def test_podman_login_and_anonymous_clients_are_given_tokens(town: Town, image: PushedImage) -> None:
    """ECR.md 3.4: podman's login has no client_id; an anonymous pull asks with a scope and without a credential."""
    await given(town.client(ADMIN, host=TOKENS), f"account=AWS&service={TOKENS}")
    nobody = town.client(host=TOKENS)
    said = await given(nobody, f"scope=repository:open/app:pull&scope=repository:{NAME}:pull&service={TOKENS}")
    assert granted(said) == {"open/app": ["pull"], NAME: []}
    bearer = town.client(host=TOKENS, credential=f"Bearer {said['token']}")
    assert (await bearer.fetch("/v2/open/app/manifests/v1"))[0] == 200
    assert (await bearer.fetch(f"/v2/{NAME}/manifests/v1"))[0] == 401
    assert granted(await given(town.client(host=TOKENS, credential=basic("", "")), "scope=repository:open/app:pull"))
    del image


async def test_the_challenge_leads_to_a_token_that_opens_the_door(town: Town, image: PushedImage) -> None:
    """distribution "Token Authentication Specification": 401, the realm with its scope, 200."""
    status, headers, body = await town.client(host=TOKENS).fetch(f"/v2/{NAME}/manifests/v1")
    assert (status, code_of(body)) == (401, "UNAUTHORIZED")
    assert headers["WWW-Authenticate"] == (
        f'Bearer realm="http://{TOKENS}:{town.node.port}/token/",service="{TOKENS}",scope="repository:{NAME}:pull"'
    )
    bearer = await bearing(town, town.client(PULLER, host=TOKENS), f"repository:{NAME}:pull")
    assert (await bearer.fetch(f"/v2/{NAME}/manifests/v1"))[2] == image.manifest
    assert (await bearer.fetch(f"/v2/{NAME}/blobs/{sha256(image.layer)}"))[2] == image.layer


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", f"/v2/{NAME}/manifests/v1", f"repository:{NAME}:pull"),
        ("HEAD", f"/v2/{NAME}/blobs/{sha256(b'')}", f"repository:{NAME}:pull"),
        ("GET", f"/v2/{NAME}/tags/list", f"repository:{NAME}:pull"),
        ("POST", f"/v2/{NAME}/blobs/uploads/", f"repository:{NAME}:pull,push"),
        ("PATCH", f"/v2/{NAME}/blobs/uploads/{'0' * 32}", f"repository:{NAME}:pull,push"),
        ("PUT", f"/v2/{NAME}/manifests/v1", f"repository:{NAME}:pull,push"),
        ("DELETE", f"/v2/{NAME}/manifests/v1", f"repository:{NAME}:delete"),
        ("DELETE", f"/v2/{NAME}/blobs/{sha256(b'')}", f"repository:{NAME}:delete"),
    ],
)
async def test_a_token_without_the_scope_is_told_which_one_it_takes(
    town: Town, image: PushedImage, method: str, path: str, scope: str
) -> None:
    """RELIABILITY A22: even the account's admin, by a token that was not given for this; RFC 6750 section 3."""
    bearer = await bearing(town, town.client(ADMIN, host=TOKENS), "repository:other/app:pull,push,delete")
    status, headers, _ = await ask(bearer, method, path)
    assert status == 401
    assert headers["WWW-Authenticate"].endswith(f',service="{TOKENS}",scope="{scope}"')
    del image


async def test_several_scopes_repeated_or_in_one_text(town: Town, image: PushedImage) -> None:
    """CLIENTS section 2, "Auth": containerd repeats the parameter, others send several, parted by spaces."""
    first, second = f"repository:{NAME}:pull,push", "repository:new/app:pull,push"
    client = town.client(ADMIN, host=TOKENS)
    for query in (
        urlencode([("scope", first), ("scope", second)]),
        urlencode([("scope", f"{first} {second}")]),
        f"scope={first}%20{second}&scope=&account=AWS",
        f"scope={first}+{second}",
    ):
        assert granted(await given(client, query)) == {NAME: ["pull", "push"], "new/app": ["pull", "push"]}, query
    del image


@pytest.mark.parametrize(
    ("scope", "found"),
    [
        (f"repository:{NAME}:*", {NAME: ["pull", "push", "delete"]}),
        (f"repository:{NAME}:pull,pull,fly", {NAME: ["pull"]}),
        (f"repository:{NAME}:", {NAME: []}),
        ("registry:catalog:*", {}),
        ("repository(plugin):a/b:pull", {}),
        ("repository:../etc:pull", {}),
        ("repository:UPPER/Case:pull", {}),
        ("repository::pull", {}),
        ("repository", {}),
        (":", {}),
        ("repository:a:b:pull", {}),
    ],
)
async def test_scopes_are_read_strictly(town: Town, scope: str, found: dict[str, list[str]]) -> None:
    """distribution "Token Scope Documentation"; what is no repository of ours is granted to nobody (A22)."""
    assert granted(await given(town.client(ADMIN, host=TOKENS), urlencode({"scope": scope}))) == found


async def test_the_form_of_containerd_is_answered(town: Town, image: PushedImage) -> None:
    """CLIENTS section 2, "Auth": containerd POSTs a form with the credential in it, and takes `access_token`."""
    form = {
        "grant_type": "password",
        "service": TOKENS,
        "client_id": "containerd-client",
        "username": "AWS",
        "password": town.password(PULLER),
        "scope": f"repository:{NAME}:pull",
    }
    client = town.client(host=TOKENS)
    for path in ("/token/", "/token"):
        status, headers, body = await ask(client, "POST", path, data=urlencode(form), headers=FORM)
        assert (status, headers["Cache-Control"]) == (200, "no-store"), body
        bearer = town.client(host=TOKENS, credential=f"Bearer {json.loads(body)['access_token']}")
        assert (await bearer.fetch(f"/v2/{NAME}/manifests/v1"))[2] == image.manifest
    by_name = form | {"username": PULLER.name, "password": PULLER.password}
    assert (await ask(client, "POST", "/token/", data=urlencode(by_name), headers=FORM))[0] == 200
    for wrong in ({"password": "x"}, {"username": "nobody-known"}, {"password": PULLER.secret}):
        status, headers, _ = await ask(client, "POST", "/token/", data=urlencode(form | wrong), headers=FORM)
        assert (status, headers["WWW-Authenticate"].startswith("Basic ")) == (401, True)


@pytest.mark.parametrize("grant", ["", "refresh_token", "client_credentials", "PASSWORD", "authorization_code"])
async def test_no_other_grant_is_taken(town: Town, grant: str) -> None:
    """OAuth2 Token Authentication: containerd and oras fall back to GET on 401; a 401 has a challenge (RFC 9110)."""
    form = {"grant_type": grant, "refresh_token": "x", "username": "AWS", "password": town.password(ADMIN)}
    body = urlencode({name: value for name, value in form.items() if value})
    status, headers, _ = await ask(town.client(host=TOKENS), "POST", "/token/", data=body, headers=FORM)
    assert (status, headers.get("WWW-Authenticate", "").startswith("Basic ")) == (401, True)


# What is granted.


async def test_a_token_grants_no_more_than_policies_do(town: Town, image: PushedImage) -> None:
    """RELIABILITY A22: asked for everything, each is granted what their policies allow."""
    asked = f"scope=repository:{NAME}:pull,push,delete"
    for person, wanted in (
        (ADMIN, ["pull", "push", "delete"]),
        (PULLER, ["pull"]),
        (DELETER, ["delete"]),
        (NOBODY, []),
        (STRANGER, []),
    ):
        assert granted(await given(town.client(person, host=TOKENS), asked)) == {NAME: wanted}, person.name
    del image


async def test_what_a_token_granted_is_asked_of_policies_again(town: Town) -> None:
    """RELIABILITY A21: a right that is taken away is gone with the next request, whatever the token says."""
    await push_image(town.client(ADMIN), "taken/away", "v1")
    await town.set_policy("taken/away", policy(allow(NOBODY.arn, "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")))
    bearer = await bearing(town, town.client(NOBODY, host=TOKENS), "repository:taken/away:pull")
    assert [(await bearer.fetch("/v2/taken/away/manifests/v1"))[0] for _ in range(3)] == [200] * 3
    await town.set_policy("taken/away", "")
    assert [(await bearer.fetch("/v2/taken/away/manifests/v1"))[0] for _ in range(2)] == [403] * 2


async def test_a_push_by_bearer_token_stays_within_its_scopes(town: Town) -> None:
    """A22, A9: push here, pull there: a mount from what the token does not name is an ordinary upload."""
    client = town.client(ADMIN, host=TOKENS)
    secret = await push_blob(town.client(ADMIN), "scoped/secret", b"of another repository")
    bearer = await bearing(town, client, "repository:scoped/app:pull,push")
    await push_image(bearer, "scoped/app", "v1")
    path = f"/v2/scoped/app/blobs/uploads/?mount={secret}"
    for source in ("&from=scoped/secret", ""):
        assert (await ask(bearer, "POST", path + source))[0] == 202
    both = await bearing(town, client, "repository:scoped/app:pull,push", "repository:scoped/secret:pull")
    assert (await ask(both, "POST", f"{path}&from=scoped/secret"))[0] == 201
    reader = await bearing(town, client, "repository:scoped/app:pull")
    status, _, _ = await put_manifest(reader, "scoped/app", "v2", b"{}")
    assert status == 401
    assert (await ask(bearer, "DELETE", "/v2/scoped/app/manifests/v1"))[0] == 401


async def test_the_catalogue_by_token_shows_what_policies_show(town: Town, image: PushedImage) -> None:
    """RELIABILITY A10: any token names its owner; the list is filtered for them."""
    for person, wanted in ((PULLER, True), (NOBODY, False), (STRANGER, False)):
        bearer = await bearing(town, town.client(person, host=TOKENS))
        status, _, body = await bearer.fetch("/v2/_catalog")
        assert (status, NAME in json.loads(body)["repositories"]) == (200, wanted), person.name
    del image


# Where it is good.


async def test_a_token_of_one_host_is_refused_at_every_other(town: Town, image: PushedImage) -> None:
    """RELIABILITY G19, "audience": also of the same account, also where Basic is taken, and of the public registry."""
    bearer = await bearing(town, town.client(ADMIN, host=TOKENS), f"repository:{NAME}:pull")
    credential = bearer._own["Authorization"]
    assert (await bearer.fetch(f"/v2/{NAME}/manifests/v1"))[0] == 200
    for host in (MORE, THEIRS, host_of(OWNER), host_of(OTHER), PUBLIC, "mirror", "gallery.example"):
        for path in ("/v2/", f"/v2/{NAME}/manifests/v1"):
            assert (await town.client(host=host, credential=credential).fetch(path))[0] == 401, (host, path)


async def test_a_public_token_opens_no_private_registry(town: Town, image: PushedImage) -> None:
    """ECR.md 3.4: its audience is the public registry; it names who asks and no scope."""
    said = await given(town.client(host=PUBLIC, credential=town.login(ADMIN, audience="ecr-public")), "scope=aws")
    for host in (TOKENS, host_of(OWNER), "mirror", "gallery.example"):
        client = town.client(host=host, credential=f"Bearer {said['token']}")
        assert (await client.fetch(f"/v2/{NAME}/manifests/v1"))[0] == 401, host
    del image


async def test_a_token_does_not_buy_another_one(town: Town) -> None:
    """A21: a bearer token shown to the token endpoint would live for ever."""
    bearer = await bearing(town, town.client(ADMIN, host=TOKENS))
    status, headers, _ = await bearer.fetch("/token/")
    assert (status, headers["WWW-Authenticate"].startswith("Basic ")) == (401, True)
    password = bearer._own["Authorization"].partition(" ")[2]
    for user in ("AWS", "<token>", ADMIN.name):
        assert (await town.client(host=TOKENS, credential=basic(user, password)).fetch("/token/"))[0] == 401


async def test_a_token_lives_no_longer_than_what_it_was_given_for(town: Town) -> None:
    """callers.py: a login of which a minute is left buys a minute; an expired one buys nothing (A21)."""
    soon = town.login(ADMIN, expires_at=time.time() + 60)
    said = await given(town.client(host=TOKENS, credential=soon))
    assert 0 < said["expires_in"] <= 60
    expired = town.login(ADMIN, now=time.time() - 13 * 3_600)
    status, _, body = await town.client(host=TOKENS, credential=expired).fetch("/token/")
    assert (status, code_of(body)) == (403, "DENIED")


async def test_an_expired_bearer_token_is_told_so(town: Town, image: PushedImage) -> None:
    """ECR.md 3.3, table, for bearer tokens too: 403 DENIED, so that nobody takes it for a missing login."""
    known = town.house.known
    principal, _ = known.identities.find_key(ADMIN.key_id, None, time.time())
    shown = known.identities.credential(ADMIN.key_id)
    old = known.tokens.issue_bearer(principal, shown, TOKENS, None, time.time() - 901)
    status, _, body = await town.client(host=TOKENS, credential=f"Bearer {old.text}").fetch(f"/v2/{NAME}/manifests/v1")
    assert (status, code_of(body)) == (403, "DENIED")
    del image


async def test_only_hosts_that_ask_for_tokens_have_the_endpoint(town: Town) -> None:
    """ECR.md 3.3: a private registry has no token service."""
    for host in (host_of(OWNER), "mirror"):
        for path in ("/token", "/token/"):
            assert (await town.client(ADMIN, host=host).fetch(path))[0] == 404
    elsewhere = f"{OWNER}.dkr.ecr.eu-west-1.{DOMAIN}"
    status, _, body = await town.client(ADMIN, host=elsewhere).fetch("/token/")
    assert (status, b"Could not resolve registry id from host" in body) == (404, True)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "HEAD"])
async def test_other_methods_are_not_for_tokens(town: Town, method: str) -> None:
    """RFC 9110 section 15.5.6: 405 with Allow; nothing is given."""
    status, headers, _ = await ask(town.client(ADMIN, host=TOKENS), method, "/token/")
    assert (status, headers["Allow"]) == (405, "GET, POST")


# The public registry's.


async def test_the_public_endpoint_gives_tokens_to_anybody(town: Town) -> None:
    """ECR.md 3.4: anonymous, docker login's and podman's requests, and `/v2/` with what they got."""
    login = town.login(ADMIN, audience="ecr-public")
    for host in (PUBLIC, "gallery.example"):
        for client, query in (
            (town.client(host=host), f"service={host}&scope=aws"),
            (
                town.client(host=host, credential=login),
                f"account=AWS&client_id=docker&offline_token=true&service={host}",
            ),
            (town.client(host=host, credential=login), f"account=AWS&service={host}"),
            (town.client(host=host), "scope=repository:alias/app:pull"),
        ):
            said = await given(client, query)
            bearer = town.client(host=host, credential=f"Bearer {said['token']}")
            assert (await bearer.fetch("/v2/"))[0] == 200, query


async def test_the_guides_own_token_opens_the_public_registry_as_it_is(town: Town) -> None:
    """ECR.md 3.4 [D]: `Bearer <authorizationToken of GetAuthorizationToken>`; that of the private one is not it."""
    for audience, wanted in (("ecr-public", 200), ("ecr", 401)):
        token = base64.b64encode(f"AWS:{town.password(ADMIN, audience=audience)}".encode()).decode()
        assert (await town.client(host=PUBLIC, credential=f"Bearer {token}").fetch("/v2/"))[0] == wanted
    for junk in (basic("aws", town.password(ADMIN, audience="ecr-public"))[6:], basic("AWS", "x")[6:], "AWS:x", "%"):
        assert (await town.client(host=PUBLIC, credential=f"Bearer {junk}").fetch("/v2/"))[0] == 401


async def test_wrong_credentials_at_the_endpoint_are_401_with_a_basic_challenge(town: Town) -> None:
    """ECR.md 3.4; callers.py: the public registry takes AWS and its own tokens only; no word on what was wrong."""
    for host in (PUBLIC, TOKENS):
        realm = f'Basic realm="http://{host}:{town.node.port}/token/"'
        wrong = [basic("AWS", "x"), basic("nobody-known", "x"), "Basic %", "Bearer x", "Digest y"]
        wrong.append(town.login(ADMIN, audience="ecr" if host == PUBLIC else "ecr-public"))
        wrong += [basic(PULLER.name, PULLER.password)] if host == PUBLIC else []
        for credential in wrong:
            status, headers, _ = await town.client(host=host, credential=credential).fetch("/token/")
            assert (status, headers["WWW-Authenticate"]) == (401, realm), credential


# Limits.


async def test_a_form_has_its_limits(town: Town) -> None:
    """RELIABILITY A1: 32 KiB and 64 fields; more is refused, and the node goes on."""
    client = town.client(host=TOKENS)
    for data, wanted in (
        ("grant_type=password&username=AWS&password=" + "x" * 40_000, 400),
        ("grant_type=password&" + "&".join(["a=b"] * 100), 400),
        (b"grant_type=password&username=%ff%fe", 400),
        (b"\xff\xfe", 400),
        ("", 401),
    ):
        status, _, body = await ask(client, "POST", "/token/", data=data, headers=FORM)
        assert status == wanted, (data[:60], body)
    scopes = urlencode([("scope", f"repository:a/b{number}:pull") for number in range(51)])
    assert (await client.fetch(f"/token/?{scopes}"))[0] == 400
    assert (await client.fetch("/v2/"))[0] == 401


async def test_a_form_without_an_end_is_cut_at_its_limit(town: Town) -> None:
    """RELIABILITY A1: a chunked form is counted as it comes, not when it is whole."""
    head = f"POST /token/ HTTP/1.1\r\nHost: {TOKENS}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    [answer] = read_answers(await town.node.raw(head + chunk + b"1\r\nx\r\n", until_close=False))
    assert (answer.status, code_of(answer.body)) == (400, "SIZE_INVALID")
