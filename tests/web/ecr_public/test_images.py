"""Public images and layers: the private code, with the public models."""

from typing import Any

import pytest
from ecr_calls import sha256
from registries import HOME

from mirror.oci.media import OCI_INDEX, OCI_MANIFEST

ABSENT = "sha256:" + "0" * 64


@pytest.fixture(autouse=True)
async def repository(public: Any) -> None:
    await public("CreateRepository", repositoryName="app")


async def test_an_image_is_pushed_described_and_deleted(public: Any) -> None:
    """ECR.md 1.1, ecr-public: eight members describe an image, and no status."""
    image = await public.push("app", "v1", "v2")
    [detail] = (await public("DescribeImages", repositoryName="app"))["imageDetails"]
    assert detail.pop("imagePushedAt") > 1_700_000_000
    assert detail == {
        "registryId": HOME.account,
        "repositoryName": "app",
        "imageDigest": image.digest,
        "imageTags": ["v1", "v2"],
        "imageSizeInBytes": image.size,
        "imageManifestMediaType": OCI_MANIFEST,
        "artifactMediaType": "application/vnd.oci.image.config.v1+json",
    }
    asked = [{"imageDigest": image.digest}, {"imageTag": "nope"}]
    answer = await public("BatchDeleteImage", repositoryName="app", imageIds=asked)
    assert answer["imageIds"] == [{"imageDigest": image.digest, "imageTag": tag} for tag in ("v1", "v2")]
    assert answer["failures"][0]["failureCode"] == "ImageNotFound"
    assert (await public("DescribeImages", repositoryName="app"))["imageDetails"] == []


async def test_an_unknown_image_is_an_exception(public: Any) -> None:
    """ECR.md 1.3, "DescribeImages"."""
    refusal = await public.refused("DescribeImages", repositoryName="app", imageIds=[{"imageTag": "t"}])
    assert refusal.type == "ImageNotFoundException"
    assert "{imageDigest:'null', imageTag:'t'}" in refusal.message


async def test_tags_of_images_are_described_in_pages(public: Any) -> None:
    """ECR.md 2.10, DescribeImageTags: untagged images have none."""
    image = await public.push("app", "v1", "v2", "v3", seed="1")
    other = await public.push("app", "x", seed="2")
    await public.push("app", seed="untagged")
    index = await public.push_list("app", "multi", of=[image, other])
    pages = await public.pages("DescribeImageTags", "imageTagDetails", repositoryName="app", maxResults=2)
    assert [len(page) for page in pages] == [2, 2, 1]
    details = {detail["imageTag"]: detail for page in pages for detail in page}
    assert sorted(details) == ["multi", "v1", "v2", "v3", "x"]
    described = details["multi"]
    assert described["createdAt"] > 1_700_000_000
    assert described["imageDetail"].pop("imagePushedAt") > 1_700_000_000
    assert described["imageDetail"] == {
        "imageDigest": index.digest,
        "imageSizeInBytes": index.size,
        "imageManifestMediaType": OCI_INDEX,
    }
    assert details["v2"]["imageDetail"]["imageDigest"] == image.digest


async def test_the_same_push_twice_is_refused(public: Any) -> None:
    """ECR.md 1.3, PutImage."""
    image = await public.push("app", "v1")
    refusal = await public.refused("PutImage", repositoryName="app", imageManifest=image.manifest, imageTag="v1")
    assert refusal.type == "ImageAlreadyExistsException"


async def test_layers_belong_to_the_public_repository_alone(public: Any) -> None:
    """ECR.md 5 items 10 and 12: the private repository of the same name is another one."""
    await public.ecr.make("app")
    digest = await public.ecr.push_layer("app", b"private")
    answer = await public("BatchCheckLayerAvailability", repositoryName="app", layerDigests=[digest, ABSENT, "x"])
    assert [layer["layerAvailability"] for layer in answer["layers"]] == ["UNAVAILABLE", "UNAVAILABLE"]
    assert answer["failures"][0]["failureCode"] == "InvalidLayerDigest"
    await public.ecr.push_layer("app", b"public", "ecr-public")
    answer = await public("BatchCheckLayerAvailability", repositoryName="app", layerDigests=[sha256(b"public")])
    assert answer["layers"][0]["layerAvailability"] == "AVAILABLE"


async def test_an_alias_names_a_registry_wherever_its_id_does(public: Any) -> None:
    """ECR.md 2.10: `registryId` is an account id or alias; half of the model's shapes say an id only."""
    await public.push("app", "v1")
    [registry] = (await public("DescribeRegistries"))["registries"]
    about = {"registryId": registry["aliases"][0]["name"], "repositoryName": "app"}
    assert (await public("DescribeImages", **about))["imageDetails"]
    assert (await public("DescribeImageTags", **about))["imageTagDetails"]
    await public("PutRepositoryCatalogData", **about, catalogData={"description": "by alias"})
    assert (await public("GetRepositoryCatalogData", **about))["catalogData"]["description"] == "by alias"
    assert (await public.refused("DescribeImages", registryId="x", repositoryName="app")).type == (
        "InvalidParameterException"
    )


@pytest.mark.parametrize(
    ("operation", "more"),
    [
        ("BatchCheckLayerAvailability", {"layerDigests": [ABSENT]}),
        ("InitiateLayerUpload", {}),
        ("PutImage", {"imageManifest": "{}"}),
        (
            "UploadLayerPart",
            {
                "uploadId": "12345678-1234-1234-1234-123456789abc",
                "partFirstByte": 0,
                "partLastByte": 0,
                "layerPartBlob": b"x",
            },
        ),
        ("CompleteLayerUpload", {"uploadId": "12345678-1234-1234-1234-123456789abc", "layerDigests": [ABSENT]}),
    ],
)
async def test_a_registry_that_is_not_there_is_said_to_be_missing(
    public: Any, operation: str, more: dict[str, Any]
) -> None:
    """ECR.md 1.1, ecr-public: RegistryNF where the model has it."""
    refusal = await public.refused(operation, registryId="nobody", repositoryName="app", **more)
    assert refusal.type == "RegistryNotFoundException"
    refusal = await public.refused(operation, repositoryName="nope", **more)
    assert refusal.type == "RepositoryNotFoundException"
