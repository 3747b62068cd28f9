"""BatchGetImage: stored bytes, failures one by one, and pulls through to an upstream."""

import json

import pytest
from ecr_calls import APP, EcrCalls, ecr_calls
from registries import HOME
from running import cached
from standin import Fault, Standin

from mirror.aws.principals import Principal
from mirror.oci.media import DOCKER_MANIFEST, OCI_MANIFEST
from mirror.oci.names import Repository

ABSENT = "sha256:" + "0" * 64
BAD_DIGEST = "Invalid request parameters: image digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'"
MISSING = "Invalid request parameters: both tag and digest cannot be null"
HUB = "docker.io/library/app"


async def test_images_come_as_the_bytes_that_were_pushed_by_tag_and_by_digest(ecr: EcrCalls) -> None:
    """ECR.md 1.3, "BatchGetImage"; 5 item 7: never converted, whatever is accepted."""
    image = await ecr.push(APP, "v1")
    asked = [{"imageTag": "v1"}, {"imageDigest": image.digest}, {"imageDigest": image.digest, "imageTag": "v1"}]
    answer = await ecr("BatchGetImage", repositoryName=APP, imageIds=asked, acceptedMediaTypes=[DOCKER_MANIFEST])
    assert answer["failures"] == []
    assert [one["imageId"] for one in answer["images"]] == [
        {"imageDigest": image.digest, "imageTag": "v1"},
        {"imageDigest": image.digest},
        {"imageDigest": image.digest, "imageTag": "v1"},
    ]
    for one in answer["images"]:
        assert one["imageManifest"] == image.manifest
        assert one["imageManifestMediaType"] == OCI_MANIFEST
        assert (one["registryId"], one["repositoryName"]) == (HOME.account, APP)


@pytest.mark.parametrize(
    ("asked", "code", "reason"),
    [
        ({"imageTag": "nope"}, "ImageNotFound", "Requested image not found"),
        ({"imageDigest": ABSENT}, "ImageNotFound", "Requested image not found"),
        ({}, "MissingDigestAndTag", MISSING),
        ({"imageDigest": "sha256:xyz"}, "InvalidImageDigest", BAD_DIGEST),
        ({"imageDigest": ABSENT, "imageTag": "v1"}, "ImageTagDoesNotMatchDigest", None),
        ({"imageTag": "no tag"}, "InvalidImageTag", None),
    ],
)
async def test_what_is_not_there_is_a_failure_beside_what_is(
    ecr: EcrCalls, asked: dict[str, str], code: str, reason: str | None
) -> None:
    """ECR.md 1.3: the codes and texts of failures; HTTP is 200."""
    await ecr.push(APP, "v1")
    answer = await ecr("BatchGetImage", repositoryName=APP, imageIds=[{"imageTag": "v1"}, asked])
    assert len(answer["images"]) == 1
    [failure] = answer["failures"]
    assert (failure["imageId"], failure["failureCode"]) == (asked, code)
    assert reason in (None, failure["failureReason"])


async def test_a_layer_is_no_image(ecr: EcrCalls) -> None:
    """ECR API reference, ImageIdentifier: the digest is a manifest's."""
    image = await ecr.push(APP, "v1")
    answer = await ecr("BatchGetImage", repositoryName=APP, imageIds=[{"imageDigest": image.layers[0]}])
    assert answer["failures"][0]["failureCode"] == "ImageNotFound"


async def test_an_archived_image_cannot_be_pulled(ecr: EcrCalls) -> None:
    """ECR.md 2.9, "Archive"."""
    await ecr.push(APP, "v1")
    await ecr("UpdateImageStorageClass", repositoryName=APP, imageId={"imageTag": "v1"}, targetStorageClass="ARCHIVE")
    answer = await ecr("BatchGetImage", repositoryName=APP, imageIds=[{"imageTag": "v1"}])
    assert answer["images"] == []
    assert answer["failures"][0]["failureCode"] == "ImageNotFound"


async def test_a_missing_repository_is_an_exception(ecr: EcrCalls) -> None:
    """ECR.md 1.1, BatchGetImage: RepoNF."""
    refusal = await ecr.refused("BatchGetImage", repositoryName="nope", imageIds=[{"imageTag": "v1"}])
    assert refusal.type == "RepositoryNotFoundException"


async def test_more_manifests_than_an_answer_may_hold_are_refused(
    ecr: EcrCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RELIABILITY A2: a hundred manifests of 4 MiB are not answered from memory; LimitExceeded is modelled."""
    image = await ecr.push(APP, "v1")
    monkeypatch.setattr("mirror.web.ecr.images.MANIFESTS_BYTES_MAX", len(image.manifest) + 1)
    asked = [{"imageTag": "v1"}, {"imageDigest": image.digest}]
    assert (await ecr("BatchGetImage", repositoryName=APP, imageIds=asked[:1]))["images"]
    refusal = await ecr.refused("BatchGetImage", repositoryName=APP, imageIds=asked)
    assert refusal.type == "LimitExceededException"


# Pull through.


async def test_an_image_of_an_upstream_is_pulled_through(tmp_path_factory: pytest.TempPathFactory) -> None:
    """ECR.md 2.5, "Pull algorithm", steps 1 and 3: what was cached is served without the upstream."""
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1")
        async with ecr_calls(tmp_path_factory.mktemp("node") / "data", upstreams=[cached(standin)]) as ecr:
            asked = {"repositoryName": HUB, "imageIds": [{"imageTag": "v1"}, {"imageTag": "nope"}]}
            for _ in range(2):
                answer = await ecr("BatchGetImage", **asked)
                [found] = answer["images"]
                assert found["imageManifest"].encode() == image.manifest
                assert found["imageId"] == {"imageDigest": image.digest, "imageTag": "v1"}
                assert answer["failures"][0]["failureCode"] == "ImageNotFound"
            assert standin.count("manifest", "v1", "GET") == 1
            listed = await ecr("ListImages", repositoryName=HUB)
            assert listed["imageIds"] == [{"imageDigest": image.digest, "imageTag": "v1"}]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault(status=429), "UpstreamTooManyRequests"),
        (Fault(status=500), "UpstreamUnavailable"),
        (Fault(status=403), "ImageNotFound"),
    ],
)
async def test_an_upstreams_trouble_has_its_names(
    tmp_path_factory: pytest.TempPathFactory, fault: Fault, code: str
) -> None:
    """ECR.md 1.3, "BatchGetImage": failures of a pull-through repository. A denial to nobody says: not there."""
    async with Standin() as standin:
        standin.add_image("library/app", "v1")
        standin.add_image("library/app", "v2")
        async with ecr_calls(tmp_path_factory.mktemp("node") / "data", upstreams=[cached(standin)]) as ecr:
            await ecr("BatchGetImage", repositoryName=HUB, imageIds=[{"imageTag": "v1"}])
            fault.on = "manifest"
            standin.fault = fault
            answer = await ecr("BatchGetImage", repositoryName=HUB, imageIds=[{"imageTag": "v2"}])
            assert [one["failureCode"] for one in answer["failures"]] == [code]


async def test_who_may_not_import_is_told_that_there_is_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    """ECR.md 2.5, step 3: a missing right to import is 404, and upstream is not asked."""
    async with Standin() as standin:
        standin.add_image("library/app", "v1")
        standin.add_image("library/app", "v2")
        async with ecr_calls(tmp_path_factory.mktemp("node") / "data", upstreams=[cached(standin)]) as ecr:
            stranger = Principal("user", "999999999999", "eve", id="AIDAEVE")
            asked = {"repositoryName": HUB, "registryId": HOME.account}
            refusal = await ecr.refused("BatchGetImage", principal=stranger, imageIds=[{"imageTag": "v1"}], **asked)
            assert refusal.type == "RepositoryNotFoundException"
            await ecr("BatchGetImage", imageIds=[{"imageTag": "v1"}], **asked)
            before = len(standin.seen)
            both = [{"imageTag": "v1"}, {"imageTag": "v2"}]
            answer = await ecr("BatchGetImage", principal=stranger, imageIds=both, **asked)
            assert [one["imageId"]["imageTag"] for one in answer["images"]] == ["v1"]
            assert [one["failureCode"] for one in answer["failures"]] == ["ImageNotFound"]
            assert len(standin.seen) == before
            assert ecr.store.index.tag(Repository(HOME, "docker.io", "library/app"), "v2") is None


async def test_the_answer_is_json_for_any_manifest(ecr: EcrCalls) -> None:
    """ECR.md 5 item 7: a manifest is text, with whatever characters."""
    text = json.dumps({"mediaType": OCI_MANIFEST, "annotations": {"who": "\u00fc\u2603\u0001"}}, ensure_ascii=True)
    await ecr("PutImage", repositoryName=APP, imageManifest=text, imageTag="v1")
    [found] = (await ecr("BatchGetImage", repositoryName=APP, imageIds=[{"imageTag": "v1"}]))["images"]
    assert found["imageManifest"] == text
