"""What a repository that caches an upstream does not take: pushes. What it does: looks, deletions."""

from pathlib import Path

import pytest
from ecr_calls import EcrCalls, ecr_calls
from running import cached
from standin import Standin

HUB = "docker.io/library/app"


async def test_a_cached_repository_takes_no_pushes_and_no_archive(tmp_path: Path) -> None:
    """ECR.md 2.5: what it holds is decided upstream."""
    async with Standin() as standin:
        standin.add_image("library/app", "v1")
        async with ecr_calls(tmp_path / "data", upstreams=[cached(standin)]) as ecr:
            await ecr("BatchGetImage", repositoryName=HUB, imageIds=[{"imageTag": "v1"}])
            for operation, more in (
                ("InitiateLayerUpload", {}),
                ("PutImage", {"imageManifest": '{"mediaType":"application/vnd.oci.image.manifest.v1+json"}'}),
            ):
                assert (await ecr.refused(operation, repositoryName=HUB, **more)).type == "InvalidParameterException"
            refusal = await ecr.refused(
                "UpdateImageStorageClass",
                repositoryName=HUB,
                imageId={"imageTag": "v1"},
                targetStorageClass="ARCHIVE",
            )
            assert refusal.type == "ImageStorageClassUpdateNotSupportedException"


async def test_what_is_cached_can_be_described_and_deleted(tmp_path: Path) -> None:
    """ECR.md 2.5, step 3: an index brings its children; a deleted image comes again with the next pull."""
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1")
        async with ecr_calls(tmp_path / "data", upstreams=[cached(standin)]) as ecr:
            for _ in range(2):
                await ecr("BatchGetImage", repositoryName=HUB, imageIds=[{"imageTag": "v1"}])
                [detail] = (await ecr("DescribeImages", repositoryName=HUB))["imageDetails"]
                assert (detail["imageDigest"], detail["imageTags"]) == (image.digest, ["v1"])
                answer = await ecr("BatchDeleteImage", repositoryName=HUB, imageIds=[{"imageDigest": image.digest}])
                assert len(answer["imageIds"]) == 1
                assert (await ecr("ListImages", repositoryName=HUB))["imageIds"] == []
            assert standin.count("manifest", "v1", "GET") == 2


@pytest.mark.parametrize("operation", ["GetLifecyclePolicy", "ListImages", "DescribeImages"])
async def test_a_name_under_an_upstreams_prefix_that_was_never_pulled_is_not_there(
    tmp_path: Path, operation: str
) -> None:
    """ECR.md 2.5: a cached repository is made by its first pull."""
    async with Standin() as standin, ecr_calls(tmp_path / "data", upstreams=[cached(standin)]) as ecr:
        assert (await _refusal(ecr, operation)) == "RepositoryNotFoundException"
        assert standin.seen == []


async def _refusal(ecr: EcrCalls, operation: str) -> str:
    return (await ecr.refused(operation, repositoryName=HUB)).type
