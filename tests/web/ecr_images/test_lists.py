"""ListImages and DescribeImages: filters, pages, members, and what is said of an unknown image."""

import base64
import json

import pytest
from ecr_calls import APP, EcrCalls
from registries import HOME

from mirror.oci.digest import parse_digest
from mirror.oci.media import OCI_INDEX, OCI_MANIFEST
from mirror.oci.names import Repository

ABSENT = "sha256:" + "0" * 64
INVALID_TOKEN = "Invalid parameter at 'nextToken' failed to satisfy constraint: 'Invalid token'"


async def archive(ecr: EcrCalls, digest: str) -> None:
    await ecr(
        "UpdateImageStorageClass", repositoryName=APP, imageId={"imageDigest": digest}, targetStorageClass="ARCHIVE"
    )


async def test_there_is_one_entry_for_each_tag(ecr: EcrCalls) -> None:
    """ECR.md 1.3, "ListImages": an untagged image has one without `imageTag`."""
    tagged, bare = await ecr.push(APP, "v1", "v2", seed="a"), await ecr.push(APP, seed="b")
    listed = (await ecr("ListImages", repositoryName=APP))["imageIds"]
    of_tagged = [{"imageDigest": tagged.digest, "imageTag": tag} for tag in ("v1", "v2")]
    expected = [*of_tagged, {"imageDigest": bare.digest}]
    assert sorted(listed, key=str) == sorted(expected, key=str)
    for status, wanted in (("TAGGED", of_tagged), ("UNTAGGED", expected[2:]), ("ANY", expected)):
        answer = await ecr("ListImages", repositoryName=APP, filter={"tagStatus": status})
        assert sorted(answer["imageIds"], key=str) == sorted(wanted, key=str)


@pytest.mark.parametrize("operation", ["ListImages", "DescribeImages"])
async def test_archived_images_are_listed_only_when_asked_for(ecr: EcrCalls, operation: str) -> None:
    """ECR.md 1.3 and 5 item 19: the default `imageStatus` is ACTIVE."""
    cold, warm = await ecr.push(APP, "cold", seed="a"), await ecr.push(APP, "warm", seed="b")
    await archive(ecr, cold.digest)
    member = "imageIds" if operation == "ListImages" else "imageDetails"
    expected = {
        "ACTIVE": {warm.digest},
        "ARCHIVED": {cold.digest},
        "ACTIVATING": set(),
        "ANY": {cold.digest, warm.digest},
    }
    for status, digests in expected.items():
        answer = await ecr(operation, repositoryName=APP, filter={"imageStatus": status})
        assert {entry["imageDigest"] for entry in answer[member]} == digests, status
    answer = await ecr(operation, repositoryName=APP)
    assert {entry["imageDigest"] for entry in answer[member]} == {warm.digest}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
async def test_pages_have_every_tag_once_and_no_token_at_the_end(ecr: EcrCalls, size: int) -> None:
    """ECR.md 1.3, "Pagination": also where a page ends between two tags of one image."""
    images = [
        await ecr.push(APP, "a", "b", "c", seed="1"),
        await ecr.push(APP, seed="2"),
        await ecr.push(APP, "d", seed="3"),
    ]
    pages = await ecr.pages("ListImages", "imageIds", repositoryName=APP, maxResults=size)
    listed = [(entry["imageDigest"], entry.get("imageTag", "")) for page in pages for entry in page]
    expected = [(images[0].digest, "a"), (images[0].digest, "b"), (images[0].digest, "c")]
    expected += [(images[1].digest, ""), (images[2].digest, "d")]
    assert listed == sorted(expected)
    assert all(len(page) == size for page in pages[:-1])
    assert len(pages) == -(-len(expected) // size)


async def test_descriptions_come_in_pages(ecr: EcrCalls) -> None:
    """ECR.md 1.3, "Pagination"."""
    digests = sorted([(await ecr.push(APP, seed=str(number))).digest for number in range(5)])
    for size, counts in ((2, [2, 2, 1]), (5, [5]), (4, [4, 1])):
        pages = await ecr.pages("DescribeImages", "imageDetails", repositoryName=APP, maxResults=size)
        assert [len(page) for page in pages] == counts
        assert [detail["imageDigest"] for page in pages for detail in page] == digests


@pytest.mark.parametrize("operation", ["ListImages", "DescribeImages"])
async def test_a_token_of_something_else_is_refused(ecr: EcrCalls, operation: str) -> None:
    """ECR.md 1.3: a token is opaque, and belongs to its operation."""
    for number in range(2):
        await ecr.push(APP, seed=str(number))
    other = {"ListImages": "DescribeImages", "DescribeImages": "ListImages"}[operation]
    foreign = (await ecr(other, repositoryName=APP, maxResults=1))["nextToken"]
    for token in (foreign, "garbled", "eyJ9"):
        refusal = await ecr.refused(operation, repositoryName=APP, nextToken=token)
        assert (refusal.type, refusal.message) == ("InvalidParameterException", INVALID_TOKEN)


async def test_an_image_is_described_whole(ecr: EcrCalls) -> None:
    """ECR.md 1.3, "DescribeImages"."""
    image = await ecr.push(APP, "v2", "v1")
    [detail] = (await ecr("DescribeImages", repositoryName=APP, imageIds=[{"imageTag": "v1"}]))["imageDetails"]
    assert detail.pop("imagePushedAt") > 1_700_000_000
    assert detail == {
        "registryId": HOME.account,
        "repositoryName": APP,
        "imageDigest": image.digest,
        "imageTags": ["v1", "v2"],
        "imageSizeInBytes": image.size,
        "imageManifestMediaType": OCI_MANIFEST,
        "artifactMediaType": "application/vnd.oci.image.config.v1+json",
        "imageStatus": "ACTIVE",
    }


async def test_an_untagged_image_has_no_tags_and_an_artifact_has_its_subject(ecr: EcrCalls) -> None:
    """ECR.md 5 items 6 and 19: absent, not null or empty."""
    image = await ecr.push(APP, "v1", seed="image")
    signature = await ecr.push(APP, seed="signature", subject=image.manifest, artifactType="application/x.signature")
    [detail] = (await ecr("DescribeImages", repositoryName=APP, imageIds=[{"imageDigest": signature.digest}]))[
        "imageDetails"
    ]
    assert "imageTags" not in detail
    assert detail["subjectManifestDigest"] == image.digest
    assert detail["artifactMediaType"] == "application/x.signature"


async def test_a_list_is_as_large_as_its_largest_child(ecr: EcrCalls) -> None:
    """ECR.md 5 item 19."""
    children = [await ecr.push(APP, seed="s"), await ecr.push(APP, seed="much longer seed")]
    index = await ecr.push_list(APP, "multi", of=children)
    [detail] = (await ecr("DescribeImages", repositoryName=APP, imageIds=[{"imageTag": "multi"}]))["imageDetails"]
    assert detail["imageSizeInBytes"] == max(child.size for child in children) == index.size
    assert detail["imageManifestMediaType"] == OCI_INDEX


async def test_the_last_pull_is_told(ecr: EcrCalls) -> None:
    """ECR API reference, ImageDetail, lastRecordedPullTime."""
    image = await ecr.push(APP, "v1")
    repository = Repository(HOME, "", APP)
    await ecr.store.images.note_pulls({(repository, parse_digest(image.digest)): 1_800_000_000.5})
    [detail] = (await ecr("DescribeImages", repositoryName=APP))["imageDetails"]
    assert detail["lastRecordedPullTime"] == 1_800_000_000.5


async def test_all_ids_are_answered_at_once_and_an_image_once(ecr: EcrCalls) -> None:
    """ECR.md 1.3, "Pagination": `imageIds` are not combined with pages; archived images exist."""
    images = [await ecr.push(APP, f"v{number}", seed=str(number)) for number in range(3)]
    await archive(ecr, images[0].digest)
    asked = [{"imageTag": f"v{number}"} for number in range(3)] + [{"imageDigest": images[1].digest}]
    answer = await ecr("DescribeImages", repositoryName=APP, imageIds=asked, maxResults=1)
    assert sorted(detail["imageDigest"] for detail in answer["imageDetails"]) == sorted(one.digest for one in images)
    assert "nextToken" not in answer
    wanted = {"imageStatus": "ARCHIVED"}
    answer = await ecr("DescribeImages", repositoryName=APP, imageIds=asked, filter=wanted)
    assert [detail["imageDigest"] for detail in answer["imageDetails"]] == [images[0].digest]


@pytest.mark.parametrize(
    ("asked", "printed"),
    [
        ({"imageTag": "t"}, "{imageDigest:'null', imageTag:'t'}"),
        ({"imageDigest": ABSENT}, f"{{imageDigest:'{ABSENT}', imageTag:'null'}}"),
        ({"imageDigest": ABSENT, "imageTag": "v1"}, f"{{imageDigest:'{ABSENT}', imageTag:'v1'}}"),
        ({"imageTag": "x" * 300}, f"{{imageDigest:'null', imageTag:'{'x' * 300}'}}"),
    ],
)
async def test_an_unknown_image_is_an_exception(ecr: EcrCalls, asked: dict[str, str], printed: str) -> None:
    """ECR.md 1.3: not a list of failures, and the absent half is printed as null."""
    await ecr.push(APP, "v1")
    refusal = await ecr.refused("DescribeImages", repositoryName=APP, imageIds=[{"imageTag": "v1"}, asked])
    assert refusal.type == "ImageNotFoundException"
    assert refusal.message == (
        f"The image with imageId {printed} does not exist within the repository with name '{APP}' in the registry "
        f"with id '{HOME.account}'"
    )


@pytest.mark.parametrize("asked", [{}, {"imageDigest": "no digest"}])
async def test_an_id_that_names_nothing_is_a_bad_parameter(ecr: EcrCalls, asked: dict[str, str]) -> None:
    """ECR API reference, DescribeImages: its errors."""
    refusal = await ecr.refused("DescribeImages", repositoryName=APP, imageIds=[asked])
    assert refusal.type == "InvalidParameterException"


async def test_pages_of_random_cursors_end(ecr: EcrCalls) -> None:
    """A client may write any cursor: it is looked up in the repository that the call is about, or refused."""
    await ecr.push(APP, "v1")
    for cursor in ([], ["x"], [1, 2, 3], ["~", "~", "~"], ["", "", ""]):
        body = json.dumps(["ecr", "ListImages", *cursor]).encode()
        token = base64.urlsafe_b64encode(body).decode().rstrip("=")
        if all(isinstance(part, str) for part in cursor) and len(cursor) == 3:
            answer = await ecr("ListImages", repositoryName=APP, nextToken=token)
            assert len(answer["imageIds"]) == (0 if cursor[0] == "~" else 1)
        else:
            assert (await ecr.refused("ListImages", repositoryName=APP, nextToken=token)).message == INVALID_TOKEN
