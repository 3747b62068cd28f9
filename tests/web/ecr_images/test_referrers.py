"""ListImageReferrers: of our own images and of cached ones."""

from pathlib import Path

import pytest
from ecr_calls import APP, EcrCalls, Pushed, ecr_calls
from running import cached
from standin import Fault, Standin

from mirror.oci.media import OCI_MANIFEST

SBOM, SIGNATURE = "application/x.sbom", "application/x.signature"
HUB = "docker.io/library/app"


async def push_artifacts(ecr: EcrCalls, count: int = 3) -> tuple[Pushed, list[Pushed]]:
    image = await ecr.push(APP, "v1")
    kinds = [SBOM if number % 2 else SIGNATURE for number in range(count)]
    artifacts = [
        await ecr.push(
            APP,
            seed=str(number),
            subject=image.manifest,
            artifactType=kind,
            annotations={"number": str(number)},
        )
        for number, kind in enumerate(kinds)
    ]
    return image, sorted(artifacts, key=lambda one: one.digest)


async def test_what_is_about_an_image_is_listed_with_its_descriptor(ecr: EcrCalls) -> None:
    """ECR.md 2.9, "Referrers"."""
    image, artifacts = await push_artifacts(ecr)
    answer = await ecr("ListImageReferrers", repositoryName=APP, subjectId={"imageDigest": image.digest})
    assert [one["digest"] for one in answer["referrers"]] == [one.digest for one in artifacts]
    for one, artifact in zip(answer["referrers"], artifacts, strict=True):
        assert one["mediaType"] == OCI_MANIFEST
        assert one["size"] == len(artifact.manifest)
        assert one["artifactType"] in (SBOM, SIGNATURE)
        assert list(one["annotations"]) == ["number"]
        assert one["artifactStatus"] == "ACTIVE"


async def test_types_are_filtered(ecr: EcrCalls) -> None:
    """ECR API reference, ListImageReferrersFilter, artifactTypes."""
    image, _ = await push_artifacts(ecr)
    asked = {"repositoryName": APP, "subjectId": {"imageDigest": image.digest}}
    for types, count in (([SBOM], 1), ([SIGNATURE], 2), ([SBOM, SIGNATURE], 3), (["other"], 0)):
        answer = await ecr("ListImageReferrers", filter={"artifactTypes": types}, **asked)
        assert len(answer["referrers"]) == count


async def test_archived_artifacts_are_listed_only_when_asked_for(ecr: EcrCalls) -> None:
    """ECR API reference, ListImageReferrersFilter, artifactStatus: ACTIVE if not specified."""
    image, [first, *_] = await push_artifacts(ecr)
    await ecr(
        "UpdateImageStorageClass",
        repositoryName=APP,
        imageId={"imageDigest": first.digest},
        targetStorageClass="ARCHIVE",
    )
    asked = {"repositoryName": APP, "subjectId": {"imageDigest": image.digest}}
    assert len((await ecr("ListImageReferrers", **asked))["referrers"]) == 2
    for status, count in (("ARCHIVED", 1), ("ANY", 3), ("ACTIVATING", 0)):
        answer = await ecr("ListImageReferrers", filter={"artifactStatus": status}, **asked)
        assert len(answer["referrers"]) == count


async def test_twenty_are_a_page(ecr: EcrCalls) -> None:
    """ECR.md 1.3, "Pagination": 20 by default, 50 at most."""
    image, artifacts = await push_artifacts(ecr, 21)
    asked = {"repositoryName": APP, "subjectId": {"imageDigest": image.digest}}
    pages = await ecr.pages("ListImageReferrers", "referrers", **asked)
    assert [len(page) for page in pages] == [20, 1]
    assert [one["digest"] for page in pages for one in page] == [one.digest for one in artifacts]
    assert [len(page) for page in await ecr.pages("ListImageReferrers", "referrers", maxResults=7, **asked)] == [
        7,
        7,
        7,
    ]
    assert (await ecr.refused("ListImageReferrers", maxResults=51, **asked)).type == "ValidationException"


async def test_a_subject_need_not_be_there_but_must_be_a_digest(ecr: EcrCalls) -> None:
    """ECR.md 2.9: the subject need not exist yet."""
    absent = {"imageDigest": "sha256:" + "0" * 64}
    assert (await ecr("ListImageReferrers", repositoryName=APP, subjectId=absent))["referrers"] == []
    refusal = await ecr.refused("ListImageReferrers", repositoryName=APP, subjectId={"imageDigest": "v1"})
    assert refusal.type == "ValidationException"


async def test_a_cached_repository_has_its_upstreams_list(tmp_path: Path) -> None:
    """ECR.md 2.5: an upstream that fails is UnableToListUpstreamImageReferrers, never an empty list."""
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1")
        async with ecr_calls(tmp_path / "data", upstreams=[cached(standin)]) as ecr:
            await ecr("BatchGetImage", repositoryName=HUB, imageIds=[{"imageTag": "v1"}])
            asked = {"repositoryName": HUB, "subjectId": {"imageDigest": image.digest}}
            standin.fault = Fault(status=500, on="referrers")
            refusal = await ecr.refused("ListImageReferrers", **asked)
            assert refusal.type == "UnableToListUpstreamImageReferrersException"
            standin.fault = None
            assert (await ecr("ListImageReferrers", **asked))["referrers"] == []


@pytest.mark.parametrize("token", ["x", "W10"])
async def test_a_garbled_token_is_refused(ecr: EcrCalls, token: str) -> None:
    """ECR.md 1.3: opaque."""
    absent = {"imageDigest": "sha256:" + "0" * 64}
    refusal = await ecr.refused("ListImageReferrers", repositoryName=APP, subjectId=absent, nextToken=token)
    assert refusal.type == "InvalidParameterException"
