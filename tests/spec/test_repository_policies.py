"""Policies at the docker door: ECR's worked examples, conditions, other accounts, and when a change takes effect."""

from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
import pytest_asyncio
from accounts import (
    ADMIN,
    BARE,
    DELETER,
    HOME,
    NOBODY,
    OTHER,
    OWNER,
    PULLER,
    PUSHER,
    STRANGER,
    Client,
    Person,
    Town,
    allow,
    arn_of,
    deny,
    host_of,
    policy,
    populated,
)
from pushing import PushedImage, ask, code_of, push_blob, push_image, put_manifest, sha256

pytestmark = pytest.mark.asyncio(loop_scope="module")

PULLS: Final = ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
LOCAL: Final = {"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}
ELSEWHERE: Final = {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}
OTHERS: Final = f"arn:aws:iam::{OTHER}:root"
WATCHER: Final = Person(OWNER, "watcher", inline=(allow(None, "ecr:BatchCheckLayerAvailability"),))
TEAMSTER: Final = Person(
    OWNER,
    "teamster",
    inline=({**allow(None, *PULLS), "Condition": {"StringEquals": {"aws:ResourceTag/team": "blue"}}},),
)
MASTER: Final = Person(OWNER, "master", inline=({**allow(None, "ecr:*"), "Resource": arn_of(OWNER, "prefix/*")},))
PEOPLE: Final = (NOBODY, PULLER, PUSHER, DELETER, ADMIN, STRANGER, BARE, WATCHER, TEAMSTER, MASTER)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with populated(tmp_path_factory.mktemp("town"), people=PEOPLE) as town:
        yield town


async def pushed(town: Town, name: str, text: str = "") -> PushedImage:
    """Push an image into a repository of the owner's and give it a policy."""
    image = await push_image(town.client(ADMIN), name, "v1")
    await town.set_policy(name, text)
    return image


async def seen(client: Client, name: str, image: PushedImage) -> dict[str, int]:
    """Do what pulls do; return each step's status. Thrice, so that the express lane and every memory have a say."""
    base = f"/v2/{name}"
    steps = {
        "manifest": ("GET", f"{base}/manifests/v1"),
        "by digest": ("GET", f"{base}/manifests/{image.digest}"),
        "blob": ("GET", f"{base}/blobs/{sha256(image.layer)}"),
        "HEAD blob": ("HEAD", f"{base}/blobs/{sha256(image.layer)}"),
        "tags": ("GET", f"{base}/tags/list"),
        "referrers": ("GET", f"{base}/referrers/{image.digest}"),
    }
    found: dict[str, int] = {}
    for _ in range(3):
        for step, (method, path) in steps.items():
            status = (await ask(client, method, path))[0]
            assert found.setdefault(step, status) == status, (step, "is answered in two ways")
    return found


def expected(*allowed: str, refusal: int = 403) -> dict[str, int]:
    return {
        step: 200 if step in allowed else refusal
        for step in ("manifest", "by digest", "blob", "HEAD blob", "tags", "referrers")
    }


MANIFESTS: Final = ("manifest", "by digest", "referrers")
BLOBS: Final = ("blob", "HEAD blob")


# ECR.md 2.1, worked examples.


async def test_the_owners_example_lets_the_other_account_read_manifests_only(town: Town) -> None:
    """ECR.md 2.1, first example: BatchGetImage for `2222:root`: manifest yes, blob no; a user without a policy no."""
    image = await pushed(town, "example/one", policy(allow(OTHERS, "ecr:BatchGetImage")))
    assert await seen(town.client(STRANGER), "example/one", image) == expected(*MANIFESTS)
    assert await seen(town.client(BARE), "example/one", image) == expected()
    assert await seen(town.client(NOBODY), "example/one", image) == expected()
    assert await seen(town.client(), "example/one", image) == expected(refusal=401)
    status, _, body = await town.client(STRANGER).fetch(f"/v2/example/one/blobs/{sha256(image.layer)}")
    assert (status, b"because no resource-based policy allows the ecr:GetDownloadUrlForLayer action" in body) == (
        403,
        True,
    )
    _, _, body = await town.client(BARE).fetch("/v2/example/one/manifests/v1")
    assert b"because no identity-based policy allows the ecr:BatchGetImage action" in body


@pytest.mark.parametrize("principal", [OTHER, OTHERS, [OTHERS], [f"arn:aws:iam::{OWNER}:user/x", OTHER]])
async def test_an_account_may_be_named_by_number_or_by_root(town: Town, principal: object) -> None:
    """ECR.md 2.1: `arn:aws:iam::A:root` and the twelve digits are every principal of A whose own policy allows it."""
    image = await pushed(town, "example/principals", policy(allow(principal, *PULLS)))
    assert await seen(town.client(STRANGER), "example/principals", image) == expected(*MANIFESTS, *BLOBS)
    assert await seen(town.client(BARE), "example/principals", image) == expected()


async def test_everybody_by_a_wildcard_of_actions(town: Town) -> None:
    """ECR.md 2.1, second example: Principal "*", `ecr:Batch*`: a user with no policy may BatchGetImage, not more."""
    image = await pushed(town, "example/two", policy(allow("*", "ecr:Batch*")))
    wanted = expected(*MANIFESTS, "HEAD blob")
    assert await seen(town.client(NOBODY), "example/two", image) == wanted
    assert await seen(town.client(STRANGER), "example/two", image) == wanted
    assert (await ask(town.client(NOBODY), "DELETE", "/v2/example/two/manifests/gone"))[0] == 404
    assert (await ask(town.client(NOBODY), "POST", "/v2/example/two/blobs/uploads/"))[0] == 403


async def test_a_policy_for_everybody_lets_nobody_in_particular_in(town: Town) -> None:
    """ECR.md 2.1: Principal "*" is also a caller without credentials; what it does not name asks for a login."""
    image = await pushed(town, "example/open", policy(allow("*", *PULLS)))
    assert await seen(town.client(), "example/open", image) == expected(*MANIFESTS, *BLOBS, refusal=401)
    assert (await ask(town.client(), "POST", "/v2/example/open/blobs/uploads/"))[0] == 401
    assert (await ask(town.client(), "DELETE", "/v2/example/open/manifests/v1"))[0] == 401


# Deny wins.


@pytest.mark.parametrize(
    ("person", "statements"),
    [
        (ADMIN, [deny("*", "ecr:BatchGetImage", "ecr:Get*")]),
        (PULLER, [allow("*", "ecr:*"), deny(PULLER.arn, "ecr:BatchGetImage", "ecr:Get*")]),
        (PULLER, [deny(OWNER, "ecr:BatchGet*", "ecr:GetDownload*"), allow(PULLER.arn, *PULLS)]),
        (STRANGER, [allow(OTHER, *PULLS), deny(OTHER, "ecr:BatchGetImage", "ecr:Get*")]),
        (NOBODY, [allow("*", *PULLS), deny("*", *PULLS, Condition=LOCAL)]),
    ],
)
async def test_a_deny_of_the_repository_wins_over_every_allow(
    town: Town, person: Person, statements: list[dict[str, Any]]
) -> None:
    """ECR.md 2.1, evaluation step 1, and the words of an explicit deny."""
    image = await pushed(town, "denied/app", policy(*statements))
    found = await seen(town.client(person), "denied/app", image)
    assert {found["manifest"], found["by digest"], found["blob"], found["referrers"]} == {403}
    _, _, body = await town.client(person).fetch("/v2/denied/app/manifests/v1")
    assert b"with an explicit deny in a resource-based policy" in body


async def test_a_deny_binds_callers_without_credentials_too(town: Town) -> None:
    """ECR.md 2.1, evaluation step 1: where everybody is let in, a Deny takes it back, with a challenge."""
    image = await pushed(town, "denied/open", policy(allow("*", *PULLS), deny("*", "ecr:GetDownloadUrlForLayer")))
    found = await seen(town.client(), "denied/open", image)
    assert (found["manifest"], found["blob"]) == (200, 401)


async def test_an_identitys_own_deny_wins_over_the_repository(town: Town) -> None:
    """ECR.md 2.1, evaluation step 1: Deny anywhere."""
    image = await pushed(town, "denied/self", policy(allow("*", *PULLS)))
    person = await town.settle(Person(OWNER, "denied", inline=(deny(None, "ecr:BatchGetImage"),)))
    found = await seen(town.client(person), "denied/self", image)
    assert (found["manifest"], found["blob"]) == (403, 200)
    _, _, body = await town.client(person).fetch("/v2/denied/self/manifests/v1")
    assert b"with an explicit deny in an identity-based policy" in body


# Conditions.


async def test_a_condition_on_the_address_is_asked_each_time(town: Town) -> None:
    """ECR.md 2.1, "Condition keys": aws:SourceIp is this connection's; X-Forwarded-For means nothing (A45)."""
    for condition, wanted in ((LOCAL, 200), (ELSEWHERE, 403)):
        image = await pushed(town, "from/here", policy(allow(NOBODY.arn, *PULLS, Condition=condition)))
        assert (await seen(town.client(NOBODY), "from/here", image))["manifest"] == wanted
        for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "True-Client-IP"):
            claimed = {name: "192.0.2.7" if wanted == 403 else "203.0.113.9"}
            status = (await ask(town.client(NOBODY), "GET", "/v2/from/here/manifests/v1", headers=claimed))[0]
            assert status == wanted, name


async def test_what_only_an_address_opens_is_not_for_caches_on_the_way(town: Town) -> None:
    """RFC 9111 section 5.2.2.9: `public` would let a proxy give it to whom the condition does not hold."""
    for condition, wanted in ((None, "public"), (LOCAL, "private")):
        more = {} if condition is None else {"Condition": condition}
        image = await pushed(town, "cached/here", policy(allow("*", *PULLS, **more)))
        for path in (f"manifests/{image.digest}", f"blobs/{sha256(image.layer)}"):
            status, headers, _ = await town.client().fetch(f"/v2/cached/here/{path}")
            assert (status, headers["Cache-Control"].split(",")[0]) == (200, wanted), condition


async def test_conditions_of_one_request_are_not_those_of_the_next(town: Town) -> None:
    """authority.py: a decision that looked at the request is never remembered."""
    agents = {"StringEquals": {"aws:UserAgent": "good/1.0"}}
    await pushed(town, "by/agent", policy(allow(NOBODY.arn, *PULLS, Condition=agents)))
    client = town.client(NOBODY)
    for agent, wanted in (("good/1.0", 200), ("bad/1.0", 403), ("good/1.0", 200), ("good/1.0x", 403), ("bad/1.0", 403)):
        status = (await ask(client, "GET", "/v2/by/agent/manifests/v1", headers={"User-Agent": agent}))[0]
        assert status == wanted, agent


async def test_a_condition_on_tls_does_not_hold_on_a_plain_connection(town: Town) -> None:
    """ECR.md 2.1, "Condition keys": aws:SecureTransport is what the connection is, not what a header says."""
    secure = {"Bool": {"aws:SecureTransport": "true"}}
    await pushed(town, "only/tls", policy(allow(NOBODY.arn, *PULLS, Condition=secure)))
    for headers in ({}, {"X-Forwarded-Proto": "https"}, {"Forwarded": "proto=https"}):
        assert (await ask(town.client(NOBODY), "GET", "/v2/only/tls/manifests/v1", headers=headers))[0] == 403


async def test_a_repositorys_tags_decide_and_a_changed_tag_at_once(town: Town) -> None:
    """ECR.md 2.1, "Condition keys": aws:ResourceTag/k is the repository's tag as it is now."""
    image = await pushed(town, "tagged/app")
    client = town.client(TEAMSTER)
    for tags, wanted in (
        ({}, 403),
        ({"team": "blue"}, 200),
        ({"team": "red"}, 403),
        ({"Team": "blue"}, 200),
        ({}, 403),
    ):
        await town.set_tags("tagged/app", tags)
        assert (await seen(client, "tagged/app", image))["manifest"] == wanted, tags


# What an identity's own policy says.


async def test_each_step_takes_its_own_action(town: Town) -> None:
    """ECR.md 2.1, "Action map": BatchCheckLayerAvailability is HEAD of a blob, and nothing more."""
    image = await pushed(town, "steps/app")
    assert await seen(town.client(WATCHER), "steps/app", image) == expected("HEAD blob")
    assert await seen(town.client(PULLER), "steps/app", image) == expected(*MANIFESTS, *BLOBS, "tags")
    assert await seen(town.client(PUSHER), "steps/app", image) == expected()
    assert await seen(town.client(DELETER), "steps/app", image) == expected()
    await push_image(town.client(PUSHER), "steps/app", "v2")
    for person, method, path, wanted in (
        (PULLER, "PUT", "/v2/steps/app/manifests/v3", 403),
        (PULLER, "DELETE", "/v2/steps/app/manifests/v2", 403),
        (PUSHER, "DELETE", "/v2/steps/app/manifests/v2", 403),
        (DELETER, "POST", "/v2/steps/app/blobs/uploads/", 403),
        (DELETER, "DELETE", "/v2/steps/app/manifests/v2", 202),
    ):
        assert (await ask(town.client(person), method, path))[0] == wanted, (person.name, method)


async def test_resources_of_an_identitys_policy_are_names_as_clients_say_them(town: Town) -> None:
    """ECR.md 2.1, "ARNs": `repository/prefix/*` is what is below prefix, not what begins with its letters."""
    for name, wanted in (("prefix/app", 200), ("prefixed/app", 403), ("a/prefix/app", 403)):
        image = await pushed(town, name)
        assert (await seen(town.client(MASTER), name, image))["manifest"] == wanted
    assert (await ask(town.client(MASTER), "POST", "/v2/prefix/new/blobs/uploads/"))[0] == 202
    assert (await ask(town.client(MASTER), "POST", "/v2/other/new/blobs/uploads/"))[0] == 403


async def test_a_mount_takes_the_right_to_pull_from_its_source(town: Town) -> None:
    """ECR.md 2.1, "Action map"; RELIABILITY A9: without GetDownloadUrlForLayer there it is an ordinary upload."""
    secret = await push_blob(town.client(ADMIN), "mount/source", b"to be mounted")
    path = f"/v2/mount/target/blobs/uploads/?mount={secret}"
    for source in ("", "&from=mount/source", f"&from={'no/such'}"):
        assert (await ask(town.client(PUSHER), "POST", path + source))[0] == 202, source
    await town.set_policy("mount/source", policy(allow(PUSHER.arn, "ecr:GetDownloadUrlForLayer")))
    assert (await ask(town.client(PUSHER), "POST", f"{path}&from=mount/source"))[0] == 201


async def test_an_upload_is_no_business_of_another_repository(town: Town) -> None:
    """RELIABILITY A9: a session's name opens it in its own repository only, whoever asks."""
    _, headers, _ = await ask(town.client(ADMIN), "POST", "/v2/session/one/blobs/uploads/")
    session = headers["Docker-Upload-UUID"]
    for method in ("GET", "PATCH", "DELETE"):
        for client, wanted in ((town.client(ADMIN), 404), (town.client(PULLER), 403), (town.client(), 401)):
            path = f"/v2/session/two/blobs/uploads/{session}"
            assert (await ask(client, method, path))[0] == wanted
        own = f"/v2/session/one/blobs/uploads/{session}"
        assert (await ask(town.client(PULLER), method, own))[0] == 403
        foreign = town.client(STRANGER, host=host_of(OTHER))
        assert (await ask(foreign, method, own))[0] == 404
    assert (await ask(town.client(ADMIN), "GET", f"/v2/session/one/blobs/uploads/{session}"))[0] == 204


# Other accounts.


async def test_another_account_pushes_where_a_policy_of_the_owner_lets_it(town: Town) -> None:
    """ECR.md 2.1, evaluation step 4: both sides must allow; what is pushed is the owner's."""
    uploads = ("ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload")
    await pushed(town, "shared/app", policy(allow(OTHER, *uploads)))
    client = town.client(STRANGER)
    await push_blob(client, "shared/app", b"a layer of a stranger's")
    status, _, body = await put_manifest(client, "shared/app", "v2", b"{}")
    assert (status, b"ecr:PutImage" in body) == (403, True)
    await town.set_policy("shared/app", policy(allow(OTHER, *uploads, "ecr:PutImage")))
    image = await push_image(client, "shared/app", "v2")
    assert (await town.client(ADMIN).fetch("/v2/shared/app/manifests/v2"))[2] == image.manifest
    assert (await client.fetch("/v2/shared/app/manifests/v2"))[0] == 403


async def test_the_registrys_policy_speaks_for_all_its_repositories(town: Town) -> None:
    """ECR.md 2.2: V2 is enforced on all requests, for the resources that it names; V1 on three actions only."""
    image, hidden = await pushed(town, "given/app"), await pushed(town, "kept/app")
    text = policy({**allow(OTHERS, *PULLS), "Resource": arn_of(OWNER, "given/*")})
    client = town.client(STRANGER)
    try:
        for scope, wanted in (
            ("V2", expected(*MANIFESTS, *BLOBS)),
            ("V1", expected()),
            ("V2", expected(*MANIFESTS, *BLOBS)),
        ):
            await town.set_registry_policy(text, scope=scope)
            assert await seen(client, "given/app", image) == wanted, scope
            assert await seen(client, "kept/app", hidden) == expected()
        await town.set_registry_policy(policy({**deny("*", *PULLS), "Resource": "*"}))
        assert (await seen(town.client(PULLER), "given/app", image))["manifest"] == 403
        await town.set_registry_policy(policy({**deny("*", *PULLS), "Resource": "*"}), scope="V1")
        assert (await seen(town.client(PULLER), "given/app", image))["manifest"] == 200
    finally:
        await town.set_registry_policy("")
    assert await seen(client, "given/app", image) == expected()


async def test_a_registry_policy_may_let_a_push_make_repositories(town: Town) -> None:
    """ECR.md 2.2: CreateRepository is one of V1's three; without it a push makes nothing: 404."""
    uploads = ("ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload", "ecr:PutImage")
    client = town.client(STRANGER)
    try:
        await town.set_registry_policy(policy({**allow(OTHERS, *uploads), "Resource": "*"}))
        status, _, body = await ask(client, "POST", "/v2/foreign/made/blobs/uploads/")
        assert (status, code_of(body)) == (404, "NAME_UNKNOWN")
        await town.set_registry_policy(policy({**allow(OTHERS, *uploads, "ecr:CreateRepository"), "Resource": "*"}))
        await push_image(client, "foreign/made", "v1")
    finally:
        await town.set_registry_policy("")


# Lists.


async def test_the_catalogue_has_what_the_caller_may_see(town: Town) -> None:
    """RELIABILITY A10: filtered by repository, and no entry for who may nothing."""
    await pushed(town, "list/one", policy(allow(NOBODY.arn, "ecr:BatchGetImage")))
    await pushed(town, "list/two", policy(allow(NOBODY.arn, "ecr:DescribeRepositories")))
    await pushed(town, "list/three", policy(allow(NOBODY.arn, "ecr:PutImage")))
    await pushed(town, "list/four", policy(allow("*", "ecr:DescribeRepositories"), deny(NOBODY.arn, "ecr:*")))
    found = (await town.client(NOBODY).fetch("/v2/_catalog?n=1000"))[2].decode()
    assert [one for one in ("one", "two", "three", "four") if f'"list/{one}"' in found] == ["one", "two"]
    status, headers, _ = await town.client().fetch("/v2/_catalog")
    assert (status, "WWW-Authenticate" in headers) == (401, True)


# Configuration against policies.


async def test_what_is_open_to_everybody_can_be_denied_and_added_to(tmp_path_factory: pytest.TempPathFactory) -> None:
    """authority.py: `[access] anonymous` fills in where no policy says anything; a Deny stands."""
    root = tmp_path_factory.mktemp("open")
    async with populated(root, people=PEOPLE, anonymous=("pull",), home=HOME) as town:
        image = await pushed(town, "any/app")
        assert await seen(town.client(), "any/app", image) == expected(*MANIFESTS, *BLOBS, "tags", refusal=401)
        assert (await seen(town.client(NOBODY), "any/app", image))["manifest"] == 200
        assert (await seen(town.client(STRANGER), "any/app", image))["manifest"] == 200
        await town.set_policy("any/app", policy(deny("*", "ecr:BatchGetImage")))
        assert (await seen(town.client(), "any/app", image))["manifest"] == 401
        assert (await seen(town.client(PULLER), "any/app", image))["manifest"] == 403
        await town.set_policy("any/app", policy(allow("*", "ecr:InitiateLayerUpload")))
        assert (await ask(town.client(NOBODY), "POST", "/v2/any/app/blobs/uploads/"))[0] == 202
        # Everybody, as a policy says it, is everybody who has logged in: only reading may be anybody's.
        assert (await ask(town.client(), "POST", "/v2/any/app/blobs/uploads/"))[0] == 401
