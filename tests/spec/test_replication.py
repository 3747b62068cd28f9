"""Replication between the registries of one node: what goes, what does not, who lets it in, and what is said of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
from accounts import ADMIN, OTHER, OWNER, REGION, STRANGER, Person, Town, allow, host_of, policy, populated
from pushing import PushedImage, index_manifest, push_image, put_manifest, sha256
from running import cached
from standin import Standin
from waiting import until

from mirror.jobs.replication import Pace
from mirror.oci.media import OCI_INDEX
from mirror.registry.carriers import HomeCarrier

NAME: Final = "prod/web"
THERE: Final = {"region": REGION, "registryId": OTHER}
QUICK: Final = Pace(first_s=0.01, longest_s=0.02, silence_s_max=0.02, broken_s=0.05)
LETS: Final = allow(OWNER, "ecr:ReplicateImage", "ecr:CreateRepository", "ecr:BatchDeleteImage", Resource="*")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is refused be tried again at once."""
    monkeypatch.setattr("mirror.jobs.replication.PACE", QUICK)


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    async with populated(tmp_path) as town:
        yield town


async def said(town: Town, person: Person, operation: str, **given: Any) -> Any:
    status, answer = await town.call(person, "ecr", operation, **given)
    assert status == 200, answer
    return answer


async def replicate(town: Town, *prefixes: str, deletes: bool = False, lets: Any = LETS) -> None:
    """Have the owner's registry replicate to the other account's, which lets it."""
    if lets is not None:
        await said(town, STRANGER, "PutRegistryPolicy", policyText=policy(lets))
    rule: dict[str, Any] = {"destinations": [THERE]}
    if prefixes:
        rule["repositoryFilters"] = [{"filter": one, "filterType": "PREFIX_MATCH"} for one in prefixes]
    if deletes:
        rule["deleteReplication"] = {"enabled": True}
    await said(town, ADMIN, "PutReplicationConfiguration", replicationConfiguration={"rules": [rule]})


async def statuses(town: Town, name: str = NAME, person: Person = ADMIN, **image: str) -> list[dict[str, Any]]:
    answer = await said(town, person, "DescribeImageReplicationStatus", repositoryName=name, imageId=image)
    found: list[dict[str, Any]] = answer["replicationStatuses"]
    return found


async def outcome(town: Town, image: PushedImage, name: str = NAME) -> dict[str, Any]:
    """Wait until an image has arrived or been refused; return what is said of it."""

    async def look() -> list[dict[str, Any]]:
        found = await statuses(town, name, imageDigest=image.digest)
        return [one for one in found if one["status"] != "IN_PROGRESS"]

    (found,) = await until(look)
    return dict(found)


async def there(town: Town, reference: str, name: str = NAME) -> tuple[int, bytes]:
    """Pull as the other account."""
    status, _, body = await town.client(STRANGER, host=host_of(OTHER)).fetch(f"/v2/{name}/manifests/{reference}")
    return status, body


async def settled(town: Town) -> None:
    """Wait until all that was asked of NAME before is done: push a mark, and see it arrive."""
    mark = await push_image(town.client(ADMIN), NAME, "mark")
    assert (await outcome(town, mark))["status"] == "COMPLETE"


async def test_what_is_pushed_arrives_with_its_bytes(town: Town) -> None:
    """ECR.md 2.4: same name, the repository is made; DescribeImageReplicationStatus says so."""
    await replicate(town)
    image = await push_image(town.client(ADMIN), NAME, "v1")
    assert await outcome(town, image) == {**THERE, "status": "COMPLETE"}
    assert await there(town, "v1") == (200, image.manifest)
    client = town.client(STRANGER, host=host_of(OTHER))
    for blob in (image.config, image.layer):
        assert (await client.fetch(f"/v2/{NAME}/blobs/{sha256(blob)}"))[2] == blob


async def test_only_what_is_pushed_afterwards_and_named_by_a_filter_goes(town: Town) -> None:
    """ECR.md 2.4: "Only what is pushed or restored after configuring"; a plain prefix of the name."""
    client = town.client(ADMIN)
    await push_image(client, NAME, "before")
    await replicate(town, "prod/", "exact")
    await push_image(client, "production", "v1")
    image = await push_image(client, "exactly", "v1")
    await outcome(town, image, "exactly")
    await settled(town)
    assert (await there(town, "before"))[0] == 404
    assert (await there(town, "v1", "production"))[0] == 404
    assert (await there(town, "v1", "exactly"))[0] == 200


async def test_a_list_arrives_after_its_images(town: Town) -> None:
    """DESIGN walk 5: children before parents."""
    await replicate(town)
    client = town.client(ADMIN)
    child = await push_image(client, NAME, "child")
    index = index_manifest([child.manifest])
    assert (await put_manifest(client, NAME, "list", index, OCI_INDEX))[0] == 201
    await until(lambda: statuses(town, imageDigest=sha256(index)))
    await settled(town)
    assert await there(town, "list") == (200, index)
    assert await there(town, child.digest) == (200, child.manifest)


async def test_nothing_goes_two_hops(town: Town) -> None:
    """ECR.md 2.4: a replicated image is not replicated on."""
    back = {"rules": [{"destinations": [{"region": REGION, "registryId": OWNER}]}]}
    await said(town, STRANGER, "PutReplicationConfiguration", replicationConfiguration=back)
    await replicate(town)
    await outcome(town, await push_image(town.client(ADMIN), NAME, "v1"))
    await settled(town)
    assert await statuses(town, person=STRANGER, imageTag="v1") == []


async def test_the_other_accounts_registry_policy_decides(town: Town) -> None:
    """ECR.md 2.2: ReplicateImage, and CreateRepository where the repository is not there; tried again once it lets."""
    await replicate(town, lets=None)
    image = await push_image(town.client(ADMIN), NAME, "v1")
    assert await outcome(town, image) == {**THERE, "status": "FAILED", "failureCode": "AccessDenied"}
    only = allow(OWNER, "ecr:ReplicateImage", Resource="*")
    await said(town, STRANGER, "PutRegistryPolicy", policyText=policy(only))
    assert (await outcome(town, image))["status"] == "FAILED"
    await said(town, STRANGER, "CreateRepository", repositoryName=NAME)

    async def arrived() -> bool:
        return (await there(town, "v1"))[0] == 200

    await until(arrived)


async def test_a_refused_image_keeps_no_other_back(town: Town) -> None:
    """Issue 4, section 1: a poisoned item does not block others."""
    await replicate(town, lets={**LETS, "Resource": f"arn:aws:ecr:{REGION}:{OTHER}:repository/prod/*"})
    refused = await push_image(town.client(ADMIN), "secret/app", "v1")
    image = await push_image(town.client(ADMIN), NAME, "v1")
    assert (await outcome(town, image))["status"] == "COMPLETE"
    assert (await outcome(town, refused, "secret/app"))["failureCode"] == "AccessDenied"


async def test_an_immutable_tag_that_is_taken_stays(town: Town) -> None:
    """ECR.md 2.4: the image arrives without that tag."""
    await said(town, STRANGER, "CreateRepository", repositoryName=NAME, imageTagMutability="IMMUTABLE")
    old = await push_image(town.client(STRANGER, host=host_of(OTHER)), NAME, "v1", "theirs")
    await replicate(town)
    image = await push_image(town.client(ADMIN), NAME, "v1")
    assert (await outcome(town, image))["status"] == "COMPLETE"
    assert await there(town, "v1") == (200, old.manifest)
    assert await there(town, image.digest) == (200, image.manifest)


async def test_a_repository_is_made_by_its_template(town: Town) -> None:
    """ECR.md 2.6: appliedFor REPLICATION; settings are not copied."""
    made = {"prefix": "prod", "appliedFor": ["REPLICATION"], "imageTagMutability": "IMMUTABLE"}
    await said(town, STRANGER, "CreateRepositoryCreationTemplate", **made)
    await replicate(town)
    await outcome(town, await push_image(town.client(ADMIN), NAME, "v1"))
    (found,) = (await said(town, STRANGER, "DescribeRepositories"))["repositories"]
    assert (found["repositoryName"], found["imageTagMutability"]) == (NAME, "IMMUTABLE")


@pytest.mark.parametrize("deletes", [True, False])
async def test_deletions_go_where_a_rule_says_so(town: Town, deletes: bool) -> None:
    """ECR.md 2.4, deleteReplication: off unless it is said."""
    await replicate(town, deletes=deletes)
    image = await push_image(town.client(ADMIN), NAME, "v1")
    await outcome(town, image)
    gone = {"repositoryName": NAME, "imageIds": [{"imageDigest": image.digest}]}
    assert (await said(town, ADMIN, "BatchDeleteImage", **gone))["failures"] == []
    await settled(town)
    assert (await there(town, "v1"))[0] == (404 if deletes else 200)


async def test_who_may_bring_images_may_not_delete_those_of_others(town: Town) -> None:
    """RELIABILITY A13: a deletion takes ecr:BatchDeleteImage of the other account's registry policy as well."""
    await replicate(town, deletes=True, lets=allow(OWNER, "ecr:ReplicateImage", "ecr:CreateRepository", Resource="*"))
    image = await push_image(town.client(ADMIN), NAME, "v1")
    await outcome(town, image)
    gone = {"repositoryName": NAME, "imageIds": [{"imageDigest": image.digest}]}
    assert (await said(town, ADMIN, "BatchDeleteImage", **gone))["failures"] == []
    other = await push_image(town.client(ADMIN), "prod/other", "v1")
    assert (await outcome(town, other, "prod/other"))["status"] == "COMPLETE"
    assert (await there(town, "v1"))[0] == 200


async def test_what_an_upstream_gave_does_not_go(tmp_path: Path) -> None:
    """ECR.md 2.4: what is pushed; a cached image is fetched where it is wanted."""
    async with Standin() as standin, populated(tmp_path, upstreams=[cached(standin)], anonymous=("pull",)) as town:
        standin.add_image("library/app", "v1")
        await replicate(town)
        assert (await town.client(host="mirror").fetch("/v2/docker.io/library/app/manifests/v1"))[0] == 200
        await settled(town)
        names = [one["repositoryName"] for one in (await said(town, STRANGER, "DescribeRepositories"))["repositories"]]
        assert names == [NAME]


async def test_a_place_that_is_not_known_is_said_to_be(town: Town) -> None:
    """Issue 4: reported, and tried again; another region is another node."""
    nobody = [{"region": REGION, "registryId": "333333333333"}, {"region": "eu-west-1", "registryId": OWNER}]
    rules = {"rules": [{"destinations": nobody}]}
    await said(town, ADMIN, "PutReplicationConfiguration", replicationConfiguration=rules)
    image = await push_image(town.client(ADMIN), NAME, "v1")

    async def failures() -> dict[str, str] | None:
        found = await statuses(town, imageDigest=image.digest)
        codes = {one["region"]: one.get("failureCode", "") for one in found}
        return codes if len(codes) == 2 and all(codes.values()) else None

    assert await until(failures) == {"eu-west-1": "RegionUnknown", REGION: "RegistryNotFound"}


async def test_what_waits_for_a_place_that_no_rule_names_any_more_is_forgotten(town: Town) -> None:
    """Issue 4, section 1: no give-up while the rule stands, and no longer."""
    await replicate(town, lets=None)
    await outcome(town, await push_image(town.client(ADMIN), NAME, "v1"))
    await said(town, ADMIN, "PutReplicationConfiguration", replicationConfiguration={"rules": []})

    async def forgotten() -> bool:
        return await statuses(town, imageTag="v1") == []

    await until(forgotten)


async def backfill(town: Town, backfill_id: str, **more: Any) -> Any:
    return await said(town, ADMIN, "DescribeReplicationBackfillResults", replicationBackfillId=backfill_id, **more)


async def ended(town: Town, backfill_id: str) -> Any:
    async def look() -> Any:
        found = await backfill(town, backfill_id)
        return found if "endedAt" in found else None

    return await until(look)


async def test_a_backfill_brings_what_was_there_before(town: Town) -> None:
    """ECR.md 2.4, "Backfill": each (image, tag) is one replication; results once it has ended."""
    client = town.client(ADMIN)
    first = await push_image(client, NAME, "v1")
    assert (await put_manifest(client, NAME, "v2", first.manifest))[0] == 201
    other = await push_image(client, "prod/other", "v1")
    await push_image(client, "test/app", "v1")
    await replicate(town, "prod/")
    started = await said(town, ADMIN, "StartReplicationBackfill", destination=THERE)
    assert (started["status"], started["destination"]) == ("PREPARING", THERE)
    found = await ended(town, started["replicationBackfillId"])
    assert (found["status"], found["progress"]["totalReplicationCount"]) == ("COMPLETE", 3)
    assert found["progress"]["completedReplicationCount"] == 3
    sent = {(one["repositoryName"], one["imageId"]["imageTag"], one["status"]) for one in found["results"]}
    assert sent == {(NAME, "v1", "COMPLETE"), (NAME, "v2", "COMPLETE"), ("prod/other", "v1", "COMPLETE")}
    assert await there(town, "v2") == (200, first.manifest)
    assert await there(town, other.digest, "prod/other") == (200, other.manifest)
    assert (await there(town, "v1", "test/app"))[0] == 404
    pages = await backfill(town, found["replicationBackfillId"], maxResults=2)
    last = await backfill(town, found["replicationBackfillId"], maxResults=2, nextToken=pages["nextToken"])
    assert (len(pages["results"]), len(last["results"]), "nextToken" in last) == (2, 1, False)


async def test_a_backfill_that_is_refused_says_why(town: Town) -> None:
    """ECR.md 2.4, "Backfill": failure codes; stopped only while it runs."""
    await push_image(town.client(ADMIN), NAME, "v1")
    await replicate(town, lets=None)
    started = (await said(town, ADMIN, "StartReplicationBackfill", destination=THERE))["replicationBackfillId"]
    found = await ended(town, started)
    assert found["progress"]["failureCodes"] == ["AccessDenied"]
    assert [one["failureCode"] for one in found["results"]] == ["AccessDenied"]
    assert (await backfill(town, started, resultStatusFilter="COMPLETE"))["results"] == []
    _, answer = await town.call(ADMIN, "ecr", "StopReplicationBackfill", replicationBackfillId=started)
    assert answer["__type"].endswith("ReplicationBackfillInvalidStatusException")


async def test_one_backfill_goes_to_a_region_and_a_stopped_one_sends_no_more(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ECR.md 2.4, "Backfill": ReplicationBackfillInProgress; STOPPED: what has not arrived is called off."""
    held = asyncio.Event()
    carry_out = HomeCarrier.carry_out

    async def slow(self: HomeCarrier, order: Any) -> None:
        await held.wait()
        await carry_out(self, order)

    monkeypatch.setattr(HomeCarrier, "carry_out", slow)
    for number in range(10):
        await push_image(town.client(ADMIN), NAME, f"v{number}")
    await replicate(town)
    begun = (await said(town, ADMIN, "StartReplicationBackfill", destination=THERE))["replicationBackfillId"]
    _, answer = await town.call(ADMIN, "ecr", "StartReplicationBackfill", destination=THERE)
    assert answer["__type"].endswith("ReplicationBackfillInProgressException")
    stopped = await said(town, ADMIN, "StopReplicationBackfill", replicationBackfillId=begun)
    assert stopped["status"] == "STOPPED"
    held.set()
    await settled(town)
    answer = await town.client(STRANGER, host=host_of(OTHER)).fetch(f"/v2/{NAME}/tags/list")
    assert len(json.loads(answer[2])["tags"]) <= 2, "the mark, and what was under way"
    (listed,) = (await said(town, ADMIN, "ListReplicationBackfills"))["backfills"]
    assert (listed["replicationBackfillId"], listed["status"]) == (begun, "STOPPED")


async def test_a_tag_that_moved_back_is_there_what_it_is_here(town: Town) -> None:
    """Orders of a repository are carried out in the order of the changes, also one that was asked for before."""
    await replicate(town, lets=None)
    client = town.client(ADMIN)
    first = await push_image(client, NAME, "v1", "first")
    second = await push_image(client, NAME, "v1", "second")
    assert (await put_manifest(client, NAME, "v1", first.manifest))[0] == 201
    await said(town, STRANGER, "PutRegistryPolicy", policyText=policy(LETS))
    await settled(town)

    async def both() -> bool:
        found = [one for image in (first, second) for one in await statuses(town, imageDigest=image.digest)]
        return [one["status"] for one in found] == ["COMPLETE", "COMPLETE"]

    await until(both)
    assert await there(town, "v1") == (200, first.manifest)


async def test_after_a_restart_it_goes_on_where_it_was(tmp_path: Path) -> None:
    """Issue 4, section 1: what is in the queue, and what is in the log alone, survives; each arrives."""
    async with populated(tmp_path) as town:
        await replicate(town, lets=None)
        pushed = [await push_image(town.client(ADMIN), NAME, f"v{number}") for number in range(20)]
    async with populated(tmp_path) as town:
        await said(town, STRANGER, "PutRegistryPolicy", policyText=policy(LETS))

        async def arrived() -> bool:
            return all([(await there(town, image.digest))[0] == 200 for image in pushed])

        await until(arrived)
        await settled(town)
        answer = await town.client(STRANGER, host=host_of(OTHER)).fetch(f"/v2/{NAME}/tags/list")
        assert set(json.loads(answer[2])["tags"]) == {"mark", *(f"v{number}" for number in range(20))}
