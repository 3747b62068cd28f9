"""Rights that change: the very next request, on the same connection and in the express lane, is decided anew."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest
from accounts import (
    ADMIN,
    NOBODY,
    OTHER,
    OWNER,
    PEOPLE,
    PULLER,
    READ_ONLY,
    STRANGER,
    Person,
    Town,
    allow,
    deny,
    host_of,
    policy,
    populated,
)
from lanes import Wire, express_answers, lane_of, warmed
from pushing import push_image, sha256

NAME: Final = "team/app"
PULLS: Final = ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
Change = Callable[[Town, Person], Awaitable[object]]


async def deleted(town: Town, person: Person) -> None:
    identities = town.house.known.identities
    await identities.keys.delete(OWNER, person.name, person.key_id)
    await identities.holders.detach(OWNER, "user", person.name, f"arn:aws:iam::aws:policy/{READ_ONLY}")
    await identities.holders.delete(OWNER, "user", person.name)


CHANGES: Final[dict[str, tuple[Change, int]]] = {
    "a Deny of the repository": (lambda town, one: town.set_policy(NAME, policy(deny(one.arn, "ecr:*"))), 403),
    "a Deny of the registry": (
        lambda town, one: town.set_registry_policy(policy({**deny(one.arn, "ecr:*"), "Resource": "*"})),
        403,
    ),
    "a Deny of their own": (
        lambda town, one: town.house.known.identities.holders.put_inline(
            OWNER, "user", one.name, "no", policy(deny(None, "ecr:*"))
        ),
        403,
    ),
    "a policy taken from them": (
        lambda town, one: town.house.known.identities.holders.detach(
            OWNER, "user", one.name, f"arn:aws:iam::aws:policy/{READ_ONLY}"
        ),
        403,
    ),
    "their key switched off": (
        lambda town, one: town.house.known.identities.keys.switch(OWNER, one.name, one.key_id, active=False),
        401,
    ),
    "their key deleted": (
        lambda town, one: town.house.known.identities.keys.delete(OWNER, one.name, one.key_id),
        401,
    ),
    "the user deleted": (deleted, 401),
    "the repository deleted": (
        lambda town, _: town.house.repositories.delete(town.repository(NAME), force=True),
        404,
    ),
}


@pytest.mark.parametrize("case", CHANGES)
async def test_the_next_request_on_the_same_connection_knows_of_the_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    """RELIABILITY A8, A21: a stale grant in the express lane would outlive the right; by tag, digest and for blobs."""
    change, wanted = CHANGES[case]
    lane = lane_of(monkeypatch)
    async with populated(tmp_path) as town:
        person = await town.settle(Person(OWNER, "leaver", (READ_ONLY,)))
        image = await push_image(town.client(ADMIN), NAME, "v1")
        client = town.client(person)
        paths = ["manifests/v1", f"manifests/{image.digest}", f"blobs/{sha256(image.layer)}"]
        wires = [await Wire.open(town.node) for _ in paths]
        requests = [client.asking(method, f"/v2/{NAME}/{path}") for method in ("GET", "HEAD") for path in paths]
        for request in requests:
            await warmed(lane, town.node, request)
        for wire in wires:
            for request in requests:
                assert await express_answers(wire, request) == (200, 1)
        await change(town, person)
        for wire in wires:
            for request in requests:
                assert await express_answers(wire, request) == (wanted, 0), (case, request)
            wire.close()


async def test_a_right_that_is_given_is_there_with_the_next_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal is no more remembered than a grant: given, taken, given, on one connection, for three callers."""
    lane_of(monkeypatch)
    async with populated(tmp_path) as town:
        await push_image(town.client(ADMIN), NAME, "v1")
        path = f"/v2/{NAME}/manifests/v1"
        callers = [
            (town.client(NOBODY).asking("GET", path), NOBODY.arn, 403),
            (town.client(STRANGER).asking("GET", path), OTHER, 403),
            (town.client().asking("GET", path), "*", 401),
        ]
        wire = await Wire.open(town.node)
        for request, principal, refusal in callers:
            for given in (False, True, False, True, False):
                await town.set_policy(NAME, policy(allow(principal, *PULLS)) if given else "")
                for _ in range(3):
                    assert (await express_answers(wire, request))[0] == (200 if given else refusal)
        wire.close()


async def test_a_user_that_the_file_no_longer_has_loses_the_lane_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """README, [iam] file: what was declared and is no longer ends with the reload, on open connections."""
    lane = lane_of(monkeypatch)
    async with populated(tmp_path) as town:
        await push_image(town.client(ADMIN), NAME, "v1")
        request = town.client(PULLER).asking("GET", f"/v2/{NAME}/manifests/v1")
        wire = await Wire.open(town.node)
        await warmed(lane, town.node, request)
        assert await express_answers(wire, request) == (200, 1)
        await town.redeclare([one for one in PEOPLE if one is not PULLER])
        assert await express_answers(wire, request) == (401, 0)
        wire.close()


async def test_rights_that_go_during_an_upload_end_it(tmp_path: Path) -> None:
    """RELIABILITY A21: revoked between POST and PATCH: the chunk is refused, and nothing is published."""
    async with populated(tmp_path) as town:
        pusher = (allow(None, "ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload"),)
        person = await town.settle(Person(OWNER, "uploader", inline=(*pusher, allow(None, "ecr:CreateRepository"))))
        client = town.client(person)
        async with client.request("POST", f"/v2/{NAME}/blobs/uploads/") as response:
            location = response.headers["Location"]
        async with client.request("PATCH", location, data=b"half of it") as response:
            assert response.status == 202
        holders = town.house.known.identities.holders
        await holders.put_inline(
            OWNER, "user", person.name, "own", policy(pusher[0] | {"Action": ["ecr:UploadLayerPart"]})
        )
        digest = sha256(b"half of it")
        async with client.request("PUT", f"{location}?digest={digest}") as response:
            assert response.status == 403
        await town.house.known.identities.keys.switch(OWNER, person.name, person.key_id, active=False)
        async with client.request("PATCH", location, data=b" and more") as response:
            assert response.status == 401
        admin = town.client(ADMIN)
        assert (await admin.fetch(f"/v2/{NAME}/blobs/{digest}"))[0] == 404
        async with admin.request("GET", location) as response:
            assert (response.status, response.headers["Range"]) == (204, "0-9")


async def test_a_token_ends_in_the_lane_when_its_time_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RELIABILITY A21: nothing changes but the clock: 200 from the lane until the end, then 403 with ECR's words."""
    lane = lane_of(monkeypatch)
    async with populated(tmp_path) as town:
        await push_image(town.client(ADMIN), NAME, "v1")
        ends = time.time() + 1.0
        request = town.client(credential=town.login(PULLER, expires_at=ends)).asking("GET", f"/v2/{NAME}/manifests/v1")
        wire = await Wire.open(town.node)
        await warmed(lane, town.node, request)
        assert await express_answers(wire, request) == (200, 1)
        async with asyncio.timeout(10):
            while (found := await express_answers(wire, request)) == (200, 1):
                await asyncio.sleep(0.02)
        assert (found, time.time() >= ends) == ((403, 0), True)
        assert host_of(OWNER).encode() in request
        wire.close()
