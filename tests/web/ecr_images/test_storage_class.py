"""UpdateImageStorageClass: into the archive and back."""

import pytest
from ecr_calls import APP, EcrCalls
from registries import HOME

UPDATE = "UpdateImageStorageClass"
NOT_SUPPORTED = "ImageStorageClassUpdateNotSupportedException"


async def test_an_image_is_archived_at_once_and_restored_by_the_next_look(ecr: EcrCalls) -> None:
    """ECR.md 2.9: ARCHIVED at once; STANDARD answers ACTIVATING, and ends ACTIVE with lastActivatedAt."""
    image = await ecr.push(APP, "v1")
    asked = {"repositoryName": APP, "imageId": {"imageTag": "v1"}}
    shape = {
        "registryId": HOME.account,
        "repositoryName": APP,
        "imageId": {"imageDigest": image.digest, "imageTag": "v1"},
    }
    assert await ecr(UPDATE, targetStorageClass="ARCHIVE", **asked) == {**shape, "imageStatus": "ARCHIVED"}
    [detail] = (await ecr("DescribeImages", repositoryName=APP, filter={"imageStatus": "ARCHIVED"}))["imageDetails"]
    assert detail["lastArchivedAt"] >= detail["imagePushedAt"]
    assert await ecr(UPDATE, targetStorageClass="STANDARD", **asked) == {**shape, "imageStatus": "ACTIVATING"}
    [detail] = (await ecr("DescribeImages", repositoryName=APP))["imageDetails"]
    assert detail["imageStatus"] == "ACTIVE"
    assert detail["lastActivatedAt"] >= detail["lastArchivedAt"]
    assert (await ecr("BatchGetImage", repositoryName=APP, imageIds=[{"imageTag": "v1"}]))["images"]


async def test_the_same_class_again_is_not_supported(ecr: EcrCalls) -> None:
    """ECR.md 2.9, "Archive"."""
    await ecr.push(APP, "v1")
    asked = {"repositoryName": APP, "imageId": {"imageTag": "v1"}}
    assert (await ecr.refused(UPDATE, targetStorageClass="STANDARD", **asked)).type == NOT_SUPPORTED
    await ecr(UPDATE, targetStorageClass="ARCHIVE", **asked)
    assert (await ecr.refused(UPDATE, targetStorageClass="ARCHIVE", **asked)).type == NOT_SUPPORTED


async def test_a_list_can_be_archived_and_its_children_cannot(ecr: EcrCalls) -> None:
    """ECR.md 2.3, evaluation 4: not until the list is gone."""
    child = await ecr.push(APP)
    index = await ecr.push_list(APP, "multi", of=[child])
    asked = {"repositoryName": APP, "targetStorageClass": "ARCHIVE"}
    refusal = await ecr.refused(UPDATE, imageId={"imageDigest": child.digest}, **asked)
    assert refusal.type == NOT_SUPPORTED
    assert index.digest in refusal.message
    assert (await ecr(UPDATE, imageId={"imageTag": "multi"}, **asked))["imageStatus"] == "ARCHIVED"


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"imageTag": "nope"}, "ImageNotFoundException"),
        ({"imageDigest": "sha256:" + "0" * 64}, "ImageNotFoundException"),
        ({"imageDigest": "x"}, "ValidationException"),
        ({}, "ValidationException"),
    ],
)
async def test_an_unknown_image_is_refused(ecr: EcrCalls, asked: dict[str, str], error: str) -> None:
    """ECR.md 1.1, UpdateImageStorageClass: its errors."""
    refusal = await ecr.refused(UPDATE, repositoryName=APP, imageId=asked, targetStorageClass="ARCHIVE")
    assert refusal.type == error
    if asked == {"imageTag": "nope"}:
        assert "{imageDigest:'null', imageTag:'nope'}" in refusal.message
