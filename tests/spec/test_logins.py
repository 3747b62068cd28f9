"""Logins: how a registry asks for credentials, byte for byte, which ones it takes, and when they end."""

import base64
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

import pytest
import pytest_asyncio
from accounts import (
    ADMIN,
    DOMAIN,
    HOME,
    NOBODY,
    OTHER,
    OWNER,
    PEOPLE,
    PULLER,
    READ_ONLY,
    STRANGER,
    Person,
    Town,
    basic,
    host_of,
    populated,
)
from pushing import PushedImage, ask, code_of, push_image, read_answers, sha256

from mirror.config.settings import Host
from mirror.registry.identities.assumption import Assumption

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAME: Final = "team/app"
HOST: Final = host_of(OWNER)
PUBLIC: Final = f"public.{DOMAIN}"
HOUR: Final = 3_600.0
EXPIRED: Final = "Your authorization token has expired. Reauthenticate and try again."
HOSTS: Final = (Host("tokens.example", login="token"), Host("auto.example"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with populated(tmp_path_factory.mktemp("town"), hosts=HOSTS) as town:
        yield town


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def image(town: Town) -> PushedImage:
    return await push_image(town.client(ADMIN), NAME, "v1")


def paths(image: PushedImage) -> list[str]:
    return [
        f"/v2/{NAME}/manifests/v1",
        f"/v2/{NAME}/manifests/{image.digest}",
        f"/v2/{NAME}/blobs/{sha256(image.layer)}",
    ]


async def raw(town: Town, method: str, path: str, host: str, *lines: str) -> bytes:
    head = "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {host}", *lines, "Connection: close", "", ""])
    return await town.node.raw(head.encode())


# The challenges.


@pytest.mark.parametrize("path", ["/v2/", "/v2", "/v2/_catalog", f"/v2/{NAME}/manifests/v1", "/v2/no/such/tags/list"])
@pytest.mark.parametrize("lines", [(), ("Authorization: Basic !!!",), ("Authorization: Basic Og==",)])
async def test_a_private_registry_asks_in_ecrs_very_bytes(town: Town, path: str, lines: tuple[str, ...]) -> None:
    """ECR.md 3.3: Basic, service="ecr.amazonaws.com", text/plain, fifteen bytes `Not Authorized\\n`."""
    [answer] = read_answers(await raw(town, "GET", path, HOST, *lines))
    realm = f"http://{HOST}:{town.node.port}/"
    assert (answer.status, answer.body) == (401, b"Not Authorized\n")
    assert answer.headers["www-authenticate"] == f'Basic realm="{realm}",service="ecr.amazonaws.com"'
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["content-length"] == "15"
    assert answer.headers["docker-distribution-api-version"] == "registry/2.0"


async def test_the_status_line_and_the_body_of_a_refused_head(town: Town) -> None:
    """ECR.md 3.3: 401 to HEAD too, with no byte behind the head."""
    got = await raw(town, "HEAD", f"/v2/{NAME}/manifests/v1", HOST)
    assert got.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
    assert got.partition(b"\r\n\r\n")[2] == b""


async def test_the_public_registry_asks_for_a_bearer_token(town: Town) -> None:
    """ECR.md 3.4: Bearer, its own /token/ as the realm, scope="aws"."""
    for path in ("/v2/", "/v2/_catalog"):
        [answer] = read_answers(await raw(town, "GET", path, PUBLIC))
        assert answer.status == 401
        assert answer.headers["www-authenticate"] == (
            f'Bearer realm="http://{PUBLIC}:{town.node.port}/token/",service="{PUBLIC}",scope="aws"'
        )
        assert code_of(answer.body) == "UNAUTHORIZED"


async def test_basic_straight_to_the_public_registry_is_an_invalid_token(town: Town) -> None:
    """ECR.md 3.4: DENIED "Your Authorization Token is invalid.", for a good credential as for a bad one."""
    for credential in (
        town.login(ADMIN, audience="ecr-public"),
        basic("AWS", "x"),
        basic(PULLER.name, PULLER.password),
    ):
        status, _, body = await town.client(host=PUBLIC, credential=credential).fetch("/v2/")
        assert status == 403
        assert json.loads(body) == {"errors": [{"code": "DENIED", "message": "Your Authorization Token is invalid."}]}


async def test_an_auto_host_lets_everybody_say_hello_and_asks_where_it_refuses(town: Town, image: PushedImage) -> None:
    """Configuration, login = "auto": `/v2/` is 200; the challenge comes with the first thing that takes a login."""
    for host in ("auto.example", "127.0.0.1", "mirror:5000"):
        client = town.client(host=host)
        assert (await client.fetch("/v2/"))[::2] == (200, b"{}")
        for path in paths(image):
            status, headers, body = await client.fetch(path)
            assert (status, code_of(body)) == (401, "UNAUTHORIZED")
            assert headers["WWW-Authenticate"].startswith("Basic realm=")
        assert (await town.client(PULLER, host=host).fetch(paths(image)[0]))[0] == 200
        assert (await town.client(host=host, credential=basic("x", "y")).fetch("/v2/"))[0] == 401


@pytest.mark.parametrize("login", ["basic", "token"])
async def test_the_home_registry_may_want_a_login_at_once(tmp_path: Path, login: Literal["basic", "token"]) -> None:
    """Configuration, [registry] login: the challenge of `/v2/` names the address of the configuration."""
    home = replace(HOME, login=login)
    async with populated(tmp_path, home=home, public_url="https://mirror.example", anonymous=("pull",)) as town:
        status, headers, body = await town.client(host="whatever.example").fetch("/v2/")
        wanted = {
            "basic": 'Basic realm="https://mirror.example/",service="ecr.amazonaws.com"',
            "token": 'Bearer realm="https://mirror.example/token/",service="mirror"',
        }[login]
        assert (status, headers["WWW-Authenticate"]) == (401, wanted)
        assert (body == b"Not Authorized\n") == (login == "basic")


# What is taken.


async def test_an_authorization_token_opens_what_its_owner_may(town: Town, image: PushedImage) -> None:
    """ECR.md 3.3: `Basic base64(AWS:password)`; the scheme's name folds case (RFC 7235 section 2.1)."""
    credential = town.login(PULLER)
    for shown in (credential, credential.replace("Basic", "basic"), credential.replace("Basic", "BASIC")):
        client = town.client(credential=shown)
        assert (await client.fetch("/v2/"))[0] == 200
        for path in paths(image):
            assert (await client.fetch(path))[0] == 200
        status, _, body = await client.fetch("/v2/_catalog")
        assert (status, NAME in json.loads(body)["repositories"]) == (200, True)


async def test_an_authorization_token_is_for_any_registry_that_its_owner_may_use(town: Town) -> None:
    """ECR.md 3.2: the token represents the principal, not a host."""
    await push_image(town.client(STRANGER, host=host_of(OTHER)), "their/app", "v1")
    assert (await town.client(STRANGER, host=HOST).fetch("/v2/"))[0] == 200
    assert (await town.client(ADMIN, host=host_of(OTHER)).fetch("/v2/"))[0] == 200


async def test_the_token_of_who_may_nothing_logs_in_and_opens_nothing(town: Town, image: PushedImage) -> None:
    """ECR.md 3.3, table: no permission is 403 DENIED in the evaluator's words; HEAD: 403 and no body."""
    client = town.client(NOBODY)
    assert (await client.fetch("/v2/"))[0] == 200
    status, headers, body = await client.fetch(f"/v2/{NAME}/manifests/v1")
    [error] = json.loads(body)["errors"]
    assert (status, error["code"]) == (403, "DENIED")
    assert error["message"] == (
        f"User: {NOBODY.arn} is not authorized to perform: ecr:BatchGetImage on resource: "
        f"arn:aws:ecr:us-east-1:{OWNER}:repository/{NAME} because no identity-based policy allows the "
        "ecr:BatchGetImage action"
    )
    assert "WWW-Authenticate" not in headers
    status, _, body = await ask(client, "POST", f"/v2/{NAME}/blobs/uploads/")
    assert (status, b"perform: ecr:InitiateLayerUpload on" in body) == (403, True)
    for path in paths(image):
        status, _, body = await ask(client, "HEAD", path)
        assert (status, body) == (403, b"")


async def test_a_user_logs_in_by_name_and_password_at_their_own_account(town: Town, image: PushedImage) -> None:
    """callers.py: all but the public registries take a user's password; users belong to an account."""
    own = town.client(credential=basic(PULLER.name, PULLER.password))
    assert (await own.fetch("/v2/"))[0] == 200
    assert (await own.fetch(paths(image)[0]))[0] == 200
    theirs = basic(STRANGER.name, STRANGER.password)
    assert (await town.client(host=host_of(OTHER), credential=theirs).fetch("/v2/"))[0] == 200
    assert (await town.client(credential=theirs).fetch("/v2/"))[0] == 401
    assert (await town.client(host=host_of(OTHER), credential=own._own["Authorization"]).fetch("/v2/"))[0] == 401


async def test_an_empty_credential_is_none(town: Town) -> None:
    """CLIENTS section 2, "Auth": podman and skopeo send `Basic Og==` when they have no credential."""
    client = town.client(host="auto.example", credential=basic("", ""))
    assert (await client.fetch("/v2/"))[0] == 200
    assert (await client.fetch(f"/v2/{NAME}/manifests/v1"))[0] == 401
    assert (await town.client(credential=basic("", "x")).fetch("/v2/"))[0] == 401


# What is not.


def other_spelling(encoded: str) -> str:
    """The same base64 with spare bits set, or with junk in it: one that a lenient reader takes."""
    return encoded[:8] + "\\" + encoded[8:]


def tampered(password: str, **changes: object) -> str:
    envelope = json.loads(base64.b64decode(password)) | changes
    return base64.b64encode(json.dumps(envelope, separators=(",", ":")).encode()).decode()


def wrong(town: Town) -> dict[str, str]:
    password = town.password(ADMIN)
    envelope = json.loads(base64.b64decode(password))
    head, claims, signature = envelope["payload"].split(".")
    said = json.loads(base64.urlsafe_b64decode(claims + "=="))
    forged = base64.urlsafe_b64encode(json.dumps(said | {"name": "root", "kind": "root"}).encode()).decode().rstrip("=")
    unsigned = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    bearer = bearer_of(town, ADMIN)
    good = town.login(ADMIN)
    return {
        "no base64": "Basic %%%",
        "no colon": "Basic " + base64.b64encode(b"AWS").decode(),
        "nothing": "Basic",
        "nothing behind a space": "Basic ",
        "other spelling": "Basic " + other_spelling(good[6:]),
        "no padding": good.rstrip("=") if good.endswith("=") else good[:-1],
        "two spaces": good.replace(" ", "  "),
        "trailing junk": good + " x",
        "a NUL": basic("AWS", password + "\0"),
        "a line end": basic("AWS", password + "\n"),
        "not UTF-8": "Basic " + base64.b64encode(b"AWS:\xff").decode(),
        "other case of the user": basic("aws", password),
        "another scheme": "Digest " + good[6:],
        "no scheme": good[6:],
        "a key and its secret": basic(ADMIN.key_id, ADMIN.secret),
        "a wrong password": basic(PULLER.name, PULLER.password + "x"),
        "an empty password": basic(PULLER.name, ""),
        "a user without a password": basic(ADMIN.name, ""),
        "nobody's name": basic("no-such-user", "x"),
        "root by name": basic("root", ""),
        "a changed signature": basic("AWS", tampered(password, payload=f"{head}.{claims}.{signature[::-1]}")),
        "changed claims": basic("AWS", tampered(password, payload=f"{head}.{forged}.{signature}")),
        "unsigned claims": basic("AWS", tampered(password, payload=f"{unsigned}.{forged}.")),
        "another expiration": basic("AWS", tampered(password, expiration=envelope["expiration"] + 1_000)),
        "another data key": basic("AWS", tampered(password, datakey="../../../dev/null")),
        "a longer envelope": basic("AWS", tampered(password, more="x")),
        "the payload alone": basic("AWS", envelope["payload"]),
        "of another audience": town.login(ADMIN, audience="ecr-public"),
        "not valid yet": town.login(ADMIN, now=time.time() + HOUR),
        "a bearer token of another host": f"Bearer {bearer}",
        "a login as a bearer token": f"Bearer {password}",
        "the header of a login as a bearer token": f"Bearer {good[6:]}",
        "an empty bearer token": "Bearer ",
        "dots": "Bearer " + "." * 5_000,
    }


def bearer_of(town: Town, person: Person) -> str:
    """A bearer token of the token endpoint of another host."""
    known, now = town.house.known, time.time()
    principal, _ = known.identities.find_key(person.key_id, None, now)
    shown = known.identities.credential(person.key_id)
    return known.tokens.issue_bearer(principal, shown, "tokens.example", None, now).text


async def test_a_wrong_credential_is_refused_everywhere_and_in_the_same_words(town: Town, image: PushedImage) -> None:
    """RELIABILITY A19, A23, A25; ECR.md 3.3: 401 with ECR's challenge; whatever is wrong, the answer is one."""
    answers = set()
    for case, credential in wrong(town).items():
        client = town.client(credential=credential)
        for path in ("/v2/", "/v2/_catalog", *paths(image)):
            status, headers, body = await client.fetch(path)
            assert status == 401, (case, path)
            kept = tuple((name, value) for name, value in headers.items() if name not in ("Date", "X-Request-ID"))
            answers.add((kept, body))
    assert len(answers) == 1, answers


async def test_a_wrong_credential_is_no_better_than_none_where_everybody_may_pull(tmp_path: Path) -> None:
    """A25: whoever shows a credential is who it says, or nobody is let in: never silently anonymous."""
    async with populated(tmp_path, anonymous=("pull",)) as town:
        image = await push_image(town.client(ADMIN), NAME, "v1")
        assert (await town.client(host="mirror").fetch(paths(image)[0]))[0] == 200
        for case, credential in wrong(town).items():
            status, _, _ = await town.client(host="mirror", credential=credential).fetch(paths(image)[0])
            assert status == 401, case


async def test_two_credentials_are_none_of_ours_to_choose_from(town: Town) -> None:
    """RFC 9110 section 5.3: two Authorization lines are refused, whichever is first."""
    good, bad = f"Authorization: {town.login(ADMIN)}", "Authorization: Basic eDp5"
    for lines in ((good, bad), (bad, good)):
        [answer] = read_answers(await raw(town, "GET", f"/v2/{NAME}/manifests/v1", HOST, *lines))
        assert answer.status in (400, 401), lines


async def test_an_expired_token_is_told_so(town: Town, image: PushedImage) -> None:
    """ECR.md 3.3, table: 403 DENIED with the text that the credential helper looks for; HEAD: no body."""
    for hours in (13, 30 * 24):
        credential = town.login(PULLER, now=time.time() - hours * HOUR)
        client = town.client(credential=credential)
        for path in ("/v2/", "/v2/_catalog", *paths(image), "/v2/no/such/tags/list"):
            status, headers, body = await client.fetch(path)
            assert status == 403, path
            assert json.loads(body) == {"errors": [{"code": "DENIED", "message": EXPIRED}]}
            assert "WWW-Authenticate" not in headers
            assert (await ask(client, "HEAD", path))[2] == b""
        assert (await ask(client, "POST", f"/v2/{NAME}/blobs/uploads/"))[0] == 403


async def test_a_token_lives_for_twelve_hours_and_no_longer(town: Town) -> None:
    """ECR.md 3.2: expiresAt = now + 12 h."""
    young, old = time.time() - 12 * HOUR + 60, time.time() - 12 * HOUR - 1
    assert (await town.client(credential=town.login(PULLER, now=young)).fetch("/v2/"))[0] == 200
    assert (await town.client(credential=town.login(PULLER, now=old)).fetch("/v2/"))[0] == 403


# When it ends.


async def test_a_deactivated_or_deleted_key_ends_its_tokens_at_once(town: Town, image: PushedImage) -> None:
    """RELIABILITY A21: the very next request, for tokens made long before."""
    person = await town.settle(Person(OWNER, "leaver", (READ_ONLY,)))
    keys, client = town.house.known.identities.keys, town.client(person)
    for active, wanted in ((True, 200), (False, 401), (True, 200)):
        await keys.switch(OWNER, person.name, person.key_id, active=active)
        for path in ("/v2/", *paths(image)):
            assert [(await client.fetch(path))[0] for _ in range(3)] == [wanted] * 3, (active, path)
    await keys.delete(OWNER, person.name, person.key_id)
    for path in ("/v2/", *paths(image)):
        assert (await client.fetch(path))[0] == 401


async def test_another_key_of_the_same_user_goes_on(town: Town) -> None:
    """A21: what ends is what hung on the key, and no more."""
    person = await town.settle(Person(OWNER, "twokeys", (READ_ONLY,)))
    identities = town.house.known.identities
    key, secret = await identities.keys.create(OWNER, person.name, time.time())
    first, second = town.client(person), town.client(replace(person, key=(key.id, secret)))
    await identities.keys.delete(OWNER, person.name, person.key_id)
    assert (await first.fetch("/v2/"))[0] == 401
    assert (await second.fetch("/v2/"))[0] == 200


async def test_a_changed_password_ends_the_old_one_and_what_was_issued_on_it(town: Town, image: PushedImage) -> None:
    """RELIABILITY A21: the next request with the old password is 401, and so is a bearer token that it gave."""
    person = await town.settle(Person(OWNER, "mover", (READ_ONLY,), password="first password"))
    logins = town.house.known.identities.logins
    client = town.client(credential=basic(person.name, "first password"))
    at_tokens = town.client(host="tokens.example", credential=basic(person.name, "first password"))
    assert (await client.fetch(paths(image)[0]))[0] == 200
    status, _, body = await at_tokens.fetch(f"/token/?scope=repository:{NAME}:pull")
    bearer = town.client(host="tokens.example", credential=f"Bearer {json.loads(body)['token']}")
    assert (status, (await bearer.fetch(paths(image)[0]))[0]) == (200, 200)
    await logins.update(OWNER, person.name, "second password", time.time())
    for stale in (client, at_tokens, bearer):
        assert (await stale.fetch(paths(image)[0]))[0] == 401
    renewed = town.client(credential=basic(person.name, "second password"))
    assert (await renewed.fetch(paths(image)[0]))[0] == 200
    await logins.delete(OWNER, person.name)
    assert (await renewed.fetch(paths(image)[0]))[0] == 401


async def test_a_user_of_the_same_name_is_not_the_one_who_was_deleted(town: Town, image: PushedImage) -> None:
    """Principals are known by their id: a token of the first user is not one of the second (A21)."""
    person = Person(OWNER, "phoenix", (READ_ONLY,))
    first = await town.settle(person)
    client = town.client(first)
    assert (await client.fetch(paths(image)[0]))[0] == 200
    identities = town.house.known.identities
    await identities.keys.delete(OWNER, "phoenix", first.key_id)
    await identities.holders.detach(OWNER, "user", "phoenix", f"arn:aws:iam::aws:policy/{READ_ONLY}")
    await identities.holders.delete(OWNER, "user", "phoenix")
    assert (await client.fetch(paths(image)[0]))[0] == 401
    second = town.client(await town.settle(person))
    assert (await second.fetch(paths(image)[0]))[0] == 200
    assert (await client.fetch(paths(image)[0]))[0] == 401


async def test_a_roles_session_logs_in_until_its_own_end(town: Town, image: PushedImage) -> None:
    """ECR.md 3.2: a token of a session does not outlive it; nor the role, nor the key that assumed it."""
    identities, now = town.house.known.identities, time.time()
    trust = json.dumps({"Statement": [{"Effect": "Allow", "Principal": {"AWS": OWNER}, "Action": "sts:AssumeRole"}]})
    await identities.holders.create_role(OWNER, "deploy", trust, now)
    await identities.holders.attach(OWNER, "role", "deploy", f"arn:aws:iam::aws:policy/{READ_ONLY}")
    allowed = {"Effect": "Allow", "Action": ["sts:AssumeRole"], "Resource": "*"}
    person = await town.settle(Person(OWNER, "assumer", inline=(allowed,)))
    principal, _ = identities.find_key(person.key_id, None, now)
    asked = Assumption(f"arn:aws:iam::{OWNER}:role/deploy", "build", 900)
    session = identities.assume_role(principal, person.key_id, asked, now)
    taken, _ = identities.find_key(session.key_id, session.token, now)
    issued = town.house.known.tokens.issue_login(taken, identities.credential(session.key_id), "ecr", now)
    client = town.client(credential=basic("AWS", issued.text))
    assert (await client.fetch(paths(image)[0]))[0] == 200
    assert issued.expires_at == pytest.approx(now + 900, abs=2)
    _, _, body = await ask(client, "POST", f"/v2/{NAME}/blobs/uploads/")
    assert f"User: arn:aws:sts::{OWNER}:assumed-role/deploy/build is not authorized" in body.decode()
    await identities.keys.switch(OWNER, person.name, person.key_id, active=False)
    assert (await client.fetch(paths(image)[0]))[0] == 401


async def test_a_declared_user_that_the_file_no_longer_has_is_gone_with_the_reload(tmp_path: Path) -> None:
    """README, [iam] file: reread on SIGHUP; tokens, keys and passwords of who is missing end at once (A21)."""
    async with populated(tmp_path) as town:
        image = await push_image(town.client(ADMIN), NAME, "v1")
        by_token = town.client(PULLER)
        by_password = town.client(credential=basic(PULLER.name, PULLER.password))
        for client in (by_token, by_password):
            assert (await client.fetch(paths(image)[0]))[0] == 200
        await town.redeclare([replace(one, password="a new one of theirs") if one is PULLER else one for one in PEOPLE])
        assert (await by_token.fetch(paths(image)[0]))[0] == 200
        assert (await by_password.fetch(paths(image)[0]))[0] == 401
        await town.redeclare([one for one in PEOPLE if one is not PULLER])
        for client in (by_token, by_password):
            assert (await client.fetch(paths(image)[0]))[0] == 401


async def test_tokens_outlive_a_restart_and_are_no_good_at_another_node(tmp_path: Path) -> None:
    """tokens.py: stateless, signed with keys that the store keeps; another node has others (A19)."""
    async with populated(tmp_path) as town:
        credential = town.login(ADMIN)
        assert (await town.client(credential=credential).fetch("/v2/"))[0] == 200
    async with populated(tmp_path) as town:
        assert (await town.client(credential=credential).fetch("/v2/"))[0] == 200
    (tmp_path / "other").mkdir()
    async with populated(tmp_path / "other") as town:
        assert (await town.client(credential=credential).fetch("/v2/"))[0] == 401
