"""PutImage: the order of its checks, its table of existing states, and the bytes that stay as they were."""

import json
from typing import Any

import pytest
from ecr_calls import APP, EcrCalls, described, sha256
from registries import HOME

from mirror.oci.media import OCI_INDEX, OCI_MANIFEST
from mirror.web.refusals import VALUE_CHARS_MAX

ABSENT = "sha256:" + "0" * 64
EXISTS = "ImageAlreadyExistsException"


def manifest(**more: object) -> str:
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, **more})


async def test_a_new_image_is_answered_with_its_bytes_as_they_were_sent(ecr: EcrCalls) -> None:
    """ECR.md 1.3, PutImage; 5 item 7: the digest is of the exact string."""
    layer = await ecr.push_layer(APP, b"layer")
    text = json.dumps({"mediaType": OCI_MANIFEST, "layers": [described(b"layer", "x/y")]}, indent=7) + "\n"
    answer = await ecr("PutImage", repositoryName=APP, imageManifest=text, imageTag="v1")
    assert answer == {
        "image": {
            "registryId": HOME.account,
            "repositoryName": APP,
            "imageId": {"imageDigest": sha256(text.encode()), "imageTag": "v1"},
            "imageManifest": text,
            "imageManifestMediaType": OCI_MANIFEST,
        }
    }
    assert layer == sha256(b"layer")


async def test_an_image_may_have_no_tag(ecr: EcrCalls) -> None:
    """ECR API reference, PutImage: `imageTag` is optional."""
    image = await ecr.push(APP)
    listed = await ecr("ListImages", repositoryName=APP)
    assert listed["imageIds"] == [{"imageDigest": image.digest}]


async def test_a_missing_repository_comes_first(ecr: EcrCalls) -> None:
    """ECR.md 1.3, "Order of checks"; the text is in "Error texts"."""
    refusal = await ecr.refused("PutImage", repositoryName="nope", imageManifest="no json")
    assert refusal.type == "RepositoryNotFoundException"
    said = f"The repository with name 'nope' does not exist in the registry with id '{HOME.account}'"
    assert refusal.message == said


@pytest.mark.parametrize("text", ["no json", '{"a":', "[1,", '{"\ud800": 1}', "NaN"])
async def test_what_is_not_json_is_refused_in_ecrs_words(ecr: EcrCalls, text: str) -> None:
    """ECR.md 1.3, PutImage: the text of the second check."""
    refusal = await ecr.refused("PutImage", repositoryName=APP, imageManifest=text, imageDigest=ABSENT)
    assert refusal.type == "InvalidParameterException"
    if text != "NaN":
        said = "Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax'"
        assert refusal.message == said


async def test_a_media_type_must_be_somewhere(ecr: EcrCalls) -> None:
    """ECR.md 1.3: in the manifest or in `imageManifestMediaType`, else InvalidParameter."""
    refusal = await ecr.refused("PutImage", repositoryName=APP, imageManifest='{"schemaVersion":2}')
    assert refusal.type == "InvalidParameterException"
    answer = await ecr(
        "PutImage", repositoryName=APP, imageManifest='{"schemaVersion":2}', imageManifestMediaType=OCI_MANIFEST
    )
    assert answer["image"]["imageManifestMediaType"] == OCI_MANIFEST


async def test_a_digest_that_is_given_must_be_the_bytes(ecr: EcrCalls) -> None:
    """ECR.md 1.3: before the parts are looked for."""
    text = manifest(layers=[described(b"never pushed", "x/y")])
    refusal = await ecr.refused("PutImage", repositoryName=APP, imageManifest=text, imageDigest=ABSENT)
    assert refusal.type == "ImageDigestDoesNotMatchException"
    assert await ecr("PutImage", repositoryName=APP, imageManifest=manifest(), imageDigest=sha256(manifest().encode()))


async def test_layers_must_be_in_this_very_repository(ecr: EcrCalls) -> None:
    """ECR.md 1.3: another repository's blobs are not there; the text is in "Error texts"."""
    await ecr.make("other")
    digest = await ecr.push_layer("other", b"layer of another")
    text = manifest(layers=[described(b"layer of another", "x/y")])
    refusal = await ecr.refused("PutImage", repositoryName=APP, imageManifest=text, imageTag="v1")
    assert refusal.type == "LayersNotFoundException"
    assert refusal.message == (
        f"Layers with digests '[{digest}]' required for pushing image into repository with name '{APP}' in the "
        f"registry with id '{HOME.account}' do not exist"
    )


async def test_however_many_layers_are_missing_the_text_ends_as_tools_expect(ecr: EcrCalls) -> None:
    """ECR.md 1.3, "Error texts": what tools search for stands behind the digests."""
    text = manifest(layers=[described(b"%d" % number, "x/y") for number in range(99)])
    refusal = await ecr.refused("PutImage", repositoryName=APP, imageManifest=text)
    assert refusal.message.endswith(f"in the registry with id '{HOME.account}' do not exist")
    assert len(refusal.message) < VALUE_CHARS_MAX


@pytest.mark.parametrize("member", [{"annotations": {"a": "\ud800"}}, {"artifactType": "a/\udfff"}])
async def test_half_a_character_is_refused(ecr: EcrCalls, member: dict[str, Any]) -> None:
    """RFC 8259 section 8.2: text that nobody can write down again; a whole pair is a character like any other."""
    text = manifest(**member)
    assert "\\ud" in text
    refusal = await ecr.refused("PutImage", repositoryName=APP, imageManifest=text)
    assert refusal.type == "InvalidParameterException"
    await ecr("PutImage", repositoryName=APP, imageManifest=manifest(annotations={"a": "\N{GRINNING FACE}"}))


async def test_a_list_of_archived_images_restores_them(ecr: EcrCalls) -> None:
    """ECR.md 2.9: archived images count as existing, and a push restores: a list is no good without its images."""
    child = await ecr.push(APP, "v1")
    about = {"repositoryName": APP, "imageId": {"imageDigest": child.digest}}
    await ecr("UpdateImageStorageClass", **about, targetStorageClass="ARCHIVE")
    await ecr.push_list(APP, "list", of=[child])
    [detail] = (await ecr("DescribeImages", repositoryName=APP, imageIds=[about["imageId"]]))["imageDetails"]
    assert detail["imageStatus"] == "ACTIVE"


async def test_children_must_be_there(ecr: EcrCalls) -> None:
    """ECR.md 1.3: lists and indexes need their images."""
    child = described(b"{}", OCI_MANIFEST)
    text = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [child]})
    refusal = await ecr.refused("PutImage", repositoryName=APP, imageManifest=text)
    assert refusal.type == "ReferencedImagesNotFoundException"
    assert refusal.message == (
        f"Images with digests '[{child['digest']}]' required for pushing image into repository with name '{APP}' in "
        f"the registry with id '{HOME.account}' do not exist"
    )


@pytest.mark.parametrize("mutability", ["MUTABLE", "IMMUTABLE"])
async def test_the_same_push_twice_is_refused_whatever_the_mutability(ecr: EcrCalls, mutability: str) -> None:
    """ECR.md 1.3, table, rows 2 and 3; 5 item 9."""
    await ecr.make("same", mutability=mutability)
    image = await ecr.push("same", "v1")
    again = await ecr.refused("PutImage", repositoryName="same", imageManifest=image.manifest, imageTag="v1")
    assert again.type == EXISTS
    assert again.message == (
        f"Image with digest '{image.digest}' and tag 'v1' already exists in the repository with name 'same' in "
        f"registry with id '{HOME.account}'"
    )
    untagged = await ecr.refused("PutImage", repositoryName="same", imageManifest=image.manifest)
    assert untagged.type == EXISTS
    more = await ecr("PutImage", repositoryName="same", imageManifest=image.manifest, imageTag="v2")
    assert more["image"]["imageId"] == {"imageDigest": image.digest, "imageTag": "v2"}


async def test_a_moved_tag_leaves_the_old_image_untagged(ecr: EcrCalls) -> None:
    """ECR.md 1.3, table; 5 item 8."""
    old, new = await ecr.push(APP, "v1", seed="old"), await ecr.push(APP, "v1", seed="new")
    listed = (await ecr("ListImages", repositoryName=APP))["imageIds"]
    assert {"imageDigest": old.digest} in listed
    assert {"imageDigest": new.digest, "imageTag": "v1"} in listed
    assert len(listed) == 2


async def test_an_immutable_tag_does_not_move(ecr: EcrCalls) -> None:
    """ECR.md 1.3, table: the text of ImageTagAlreadyExists."""
    await ecr.make("fixed", mutability="IMMUTABLE")
    await ecr.push("fixed", "v1", seed="old")
    other = await ecr.push("fixed", seed="new")
    refusal = await ecr.refused("PutImage", repositoryName="fixed", imageManifest=other.manifest, imageTag="v1")
    assert refusal.type == "ImageTagAlreadyExistsException"
    assert refusal.message == (
        "The image tag 'v1' already exists in the 'fixed' repository and cannot be overwritten because the repository "
        "is immutable."
    )


@pytest.mark.parametrize("mutability", ["MUTABLE", "IMMUTABLE"])
@pytest.mark.parametrize("tag", ["v1", None])
async def test_pushing_an_archived_image_restores_it(ecr: EcrCalls, mutability: str, tag: str | None) -> None:
    """ECR.md 1.3, table, last row: at once; its tag is no reason to refuse, for it does not move."""
    await ecr.make("cold", mutability=mutability)
    image = await ecr.push("cold", "v1")
    await ecr(
        "UpdateImageStorageClass",
        repositoryName="cold",
        imageId={"imageDigest": image.digest},
        targetStorageClass="ARCHIVE",
    )
    await ecr("PutImage", repositoryName="cold", imageManifest=image.manifest, imageTag=tag)
    [detail] = (await ecr("DescribeImages", repositoryName="cold"))["imageDetails"]
    assert (detail["imageStatus"], detail["imageTags"]) == ("ACTIVE", ["v1"])
    assert detail["lastActivatedAt"] >= detail["lastArchivedAt"]


async def test_a_tag_outside_the_grammar_is_refused(ecr: EcrCalls) -> None:
    """ECR.md 1.3: the model allows 300 characters, docker clients 128 of a grammar."""
    for tag in ("-v1", "v" * 129, "a b"):
        refusal = await ecr.refused("PutImage", repositoryName=APP, imageManifest=manifest(), imageTag=tag)
        assert refusal.type == "InvalidParameterException"
        assert "'imageTag'" in refusal.message


async def test_another_account_is_another_registry(ecr: EcrCalls) -> None:
    """ECR.md 5 item 12: `registryId` is never ignored."""
    refusal = await ecr.refused(
        "PutImage", registryId="999999999999", repositoryName=APP, imageManifest=manifest(), imageTag="v1"
    )
    assert refusal.type == "RepositoryNotFoundException"
    assert "999999999999" in refusal.message
