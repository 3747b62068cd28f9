"""BatchDeleteImage: tags, last tags, digests, lists, and failures one by one."""

import pytest
from ecr_calls import APP, EcrCalls

ABSENT = "sha256:" + "0" * 64


async def delete(ecr: EcrCalls, *asked: dict[str, str]) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    answer = await ecr("BatchDeleteImage", repositoryName=APP, imageIds=list(asked))
    return answer["imageIds"], answer["failures"]


async def left(ecr: EcrCalls) -> list[dict[str, str]]:
    listed = await ecr("ListImages", repositoryName=APP, filter={"imageStatus": "ANY"})
    return list(listed["imageIds"])


async def test_a_tag_goes_and_the_image_stays_with_the_others(ecr: EcrCalls) -> None:
    """ECR.md 1.3, "BatchDeleteImage": by tag removes the tag."""
    image = await ecr.push(APP, "v1", "v2")
    assert await delete(ecr, {"imageTag": "v1"}) == ([{"imageDigest": image.digest, "imageTag": "v1"}], [])
    assert await left(ecr) == [{"imageDigest": image.digest, "imageTag": "v2"}]


async def test_the_last_tag_takes_the_image_with_it(ecr: EcrCalls) -> None:
    """ECR.md 1.3 and 5 item 8: removing the last tag deletes the image."""
    image = await ecr.push(APP, "v1", "v2")
    deleted, failures = await delete(ecr, {"imageTag": "v1"}, {"imageTag": "v2"})
    assert deleted == [{"imageDigest": image.digest, "imageTag": tag} for tag in ("v1", "v2")]
    assert (failures, await left(ecr)) == ([], [])


async def test_by_digest_the_image_goes_with_all_its_tags(ecr: EcrCalls) -> None:
    """ECR.md 1.3: the answer has one entry for each tag."""
    image = await ecr.push(APP, "v1", "v2")
    deleted, failures = await delete(ecr, {"imageDigest": image.digest})
    assert deleted == [{"imageDigest": image.digest, "imageTag": tag} for tag in ("v1", "v2")]
    assert (failures, await left(ecr)) == ([], [])


async def test_an_untagged_image_has_one_entry_without_a_tag(ecr: EcrCalls) -> None:
    """ECR.md 1.3."""
    image = await ecr.push(APP)
    assert await delete(ecr, {"imageDigest": image.digest}) == ([{"imageDigest": image.digest}], [])


async def test_both_halves_take_the_tag_away(ecr: EcrCalls) -> None:
    """ECR.md 1.3: both given and matching."""
    image = await ecr.push(APP, "v1", "v2")
    both = {"imageDigest": image.digest, "imageTag": "v1"}
    assert await delete(ecr, both) == ([both], [])
    assert await left(ecr) == [{"imageDigest": image.digest, "imageTag": "v2"}]


@pytest.mark.parametrize(
    ("asked", "code", "reason"),
    [
        ({"imageTag": "nope"}, "ImageNotFound", "Requested image not found"),
        ({"imageDigest": ABSENT}, "ImageNotFound", "Requested image not found"),
        ({}, "MissingDigestAndTag", "Invalid request parameters: both tag and digest cannot be null"),
        (
            {"imageDigest": "latest"},
            "InvalidImageDigest",
            "Invalid request parameters: image digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'",
        ),
        ({"imageDigest": ABSENT, "imageTag": "v1"}, "ImageTagDoesNotMatchDigest", None),
    ],
)
async def test_a_failure_is_one_of_the_list(
    ecr: EcrCalls, asked: dict[str, str], code: str, reason: str | None
) -> None:
    """ECR.md 1.3: errors are per id, and what can be deleted is."""
    image = await ecr.push(APP, "v1", "v2")
    deleted, [failure] = await delete(ecr, asked, {"imageTag": "v2"})
    assert deleted == [{"imageDigest": image.digest, "imageTag": "v2"}]
    assert (failure["imageId"], failure["failureCode"]) == (asked, code)
    assert reason in (None, failure["failureReason"])
    assert await left(ecr) == [{"imageDigest": image.digest, "imageTag": "v1"}]


@pytest.mark.parametrize("by", ["digest", "tag"])
async def test_what_a_list_needs_stays_until_the_list_is_gone(ecr: EcrCalls, by: str) -> None:
    """ECR.md 1.3: ImageReferencedByManifestList, with the lists' digests."""
    child = await ecr.push(APP, "amd64")
    index = await ecr.push_list(APP, "multi", of=[child])
    asked = {"imageDigest": child.digest} if by == "digest" else {"imageTag": "amd64"}
    _, [failure] = await delete(ecr, asked)
    assert failure["failureCode"] == "ImageReferencedByManifestList"
    assert failure["failureReason"] == f"Requested image referenced by manifest list: [{index.digest}]"
    deleted, failures = await delete(ecr, {"imageTag": "multi"}, asked)
    assert len(deleted) == 2
    assert failures == []


async def test_a_child_of_a_list_can_lose_a_tag_that_is_not_its_last(ecr: EcrCalls) -> None:
    """ECR.md 1.3: only deleting the image is refused."""
    child = await ecr.push(APP, "a", "b")
    await ecr.push_list(APP, "multi", of=[child])
    deleted, failures = await delete(ecr, {"imageTag": "a"}, {"imageTag": "b"})
    assert deleted == [{"imageDigest": child.digest, "imageTag": "a"}]
    assert [failure["failureCode"] for failure in failures] == ["ImageReferencedByManifestList"]


async def test_an_archived_image_and_an_immutable_tag_can_be_deleted(ecr: EcrCalls) -> None:
    """ECR.md 2.9: deletion is always possible; 2.7: mutability is PutImage's."""
    await ecr.make("fixed", mutability="IMMUTABLE")
    await ecr.push("fixed", "v1")
    await ecr(
        "UpdateImageStorageClass", repositoryName="fixed", imageId={"imageTag": "v1"}, targetStorageClass="ARCHIVE"
    )
    answer = await ecr("BatchDeleteImage", repositoryName="fixed", imageIds=[{"imageTag": "v1"}])
    assert (len(answer["imageIds"]), answer["failures"]) == (1, [])
