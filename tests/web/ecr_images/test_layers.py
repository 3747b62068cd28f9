"""Layers by the API: availability in one repository, and uploads in parts."""

import asyncio
from pathlib import Path

import pytest
from ecr_calls import APP, EcrCalls, ecr_calls, sha256
from registries import HOME

from mirror.registry.layers import PART_BYTES_MIN

MIB = 1024 * 1024
ABSENT = "sha256:" + "0" * 64
UNKNOWN_UPLOAD = "12345678-1234-1234-1234-123456789abc"
TAR = "application/vnd.oci.image.layer.v1.tar+gzip"


async def start(ecr: EcrCalls, name: str = APP) -> str:
    return str((await ecr("InitiateLayerUpload", repositoryName=name))["uploadId"])


def part(upload: str, first: int, data: bytes, last: int | None = None) -> dict[str, object]:
    end = first + len(data) - 1 if last is None else last
    return {
        "repositoryName": APP,
        "uploadId": upload,
        "partFirstByte": first,
        "partLastByte": end,
        "layerPartBlob": data,
    }


def complete(upload: str, *digests: str) -> dict[str, object]:
    return {"repositoryName": APP, "uploadId": upload, "layerDigests": list(digests)}


# Availability.


async def test_an_absent_layer_is_unavailable_and_no_failure(ecr: EcrCalls) -> None:
    """ECR.md 1.3, step 1, and 5 item 10: a containerd resolver fails on `failures`."""
    answer = await ecr("BatchCheckLayerAvailability", repositoryName=APP, layerDigests=[ABSENT])
    assert answer == {"layers": [{"layerDigest": ABSENT, "layerAvailability": "UNAVAILABLE"}], "failures": []}


async def test_a_layer_is_available_with_its_size_and_type(ecr: EcrCalls) -> None:
    """ECR.md 1.3, step 1: the type is what an image says of it, where one does."""
    image = await ecr.push(APP, "v1", seed="x")
    bare = await ecr.push_layer(APP, b"no image names it")
    answer = await ecr("BatchCheckLayerAvailability", repositoryName=APP, layerDigests=[*image.layers, bare])
    named, unnamed = answer["layers"]
    assert named == {
        "layerDigest": image.layers[0],
        "layerAvailability": "AVAILABLE",
        "layerSize": len(b"layer x" * 30),
        "mediaType": TAR,
    }
    assert unnamed == {"layerDigest": bare, "layerAvailability": "AVAILABLE", "layerSize": 17}


async def test_a_layer_of_archived_images_alone_is_archived(ecr: EcrCalls) -> None:
    """ECR.md 1.3, step 1: the third value; it is not to be downloaded until an image is restored."""
    image = await ecr.push(APP, "v1", seed="x")
    cold = {"repositoryName": APP, "imageId": {"imageTag": "v1"}}
    await ecr("UpdateImageStorageClass", **cold, targetStorageClass="ARCHIVE")
    answer = await ecr("BatchCheckLayerAvailability", repositoryName=APP, layerDigests=image.layers)
    assert [layer["layerAvailability"] for layer in answer["layers"]] == ["ARCHIVED"]
    await ecr.push(APP, "v2", seed="x", annotations={"another": "image"})
    answer = await ecr("BatchCheckLayerAvailability", repositoryName=APP, layerDigests=image.layers)
    assert [layer["layerAvailability"] for layer in answer["layers"]] == ["AVAILABLE"]


async def test_a_layer_of_another_repository_is_not_available(ecr: EcrCalls) -> None:
    """ECR.md 5 item 10: the scope is one repository; what others have is not told."""
    await ecr.make("other")
    digest = await ecr.push_layer("other", b"a secret of others")
    answer = await ecr("BatchCheckLayerAvailability", repositoryName=APP, layerDigests=[digest])
    assert answer["layers"][0]["layerAvailability"] == "UNAVAILABLE"


async def test_what_is_no_digest_is_a_failure(ecr: EcrCalls) -> None:
    """ECR.md 1.3, step 1: InvalidLayerDigest and MissingLayerDigest."""
    digests = ["not a digest", "", ABSENT]
    answer = await ecr("BatchCheckLayerAvailability", repositoryName=APP, layerDigests=digests)
    invalid, missing = answer["failures"]
    assert invalid == {
        "layerDigest": "not a digest",
        "failureCode": "InvalidLayerDigest",
        "failureReason": "Invalid layer digest 'not a digest'",
    }
    assert missing["failureCode"] == "MissingLayerDigest"
    assert [layer["layerDigest"] for layer in answer["layers"]] == [ABSENT]


# Uploads.


async def test_a_layer_comes_in_parts(ecr: EcrCalls) -> None:
    """ECR.md 1.3, steps 2 to 4: `partLastByte` is inclusive."""
    answer = await ecr("InitiateLayerUpload", repositoryName=APP)
    upload = answer["uploadId"]
    assert answer == {"uploadId": upload, "partSize": 10_485_760}
    data = bytes(PART_BYTES_MIN) + b"the last part may be small"
    about = {"registryId": HOME.account, "repositoryName": APP, "uploadId": upload}
    first = await ecr("UploadLayerPart", **part(upload, 0, data[:PART_BYTES_MIN]))
    assert first == {**about, "lastByteReceived": PART_BYTES_MIN - 1}
    second = await ecr("UploadLayerPart", **part(upload, PART_BYTES_MIN, data[PART_BYTES_MIN:]))
    assert second == {**about, "lastByteReceived": len(data) - 1}
    assert await ecr("CompleteLayerUpload", **complete(upload, sha256(data))) == {**about, "layerDigest": sha256(data)}
    checked = await ecr("BatchCheckLayerAvailability", repositoryName=APP, layerDigests=[sha256(data)])
    assert checked["layers"][0]["layerSize"] == len(data)


@pytest.mark.parametrize(
    ("first", "last", "size"),
    [(11, 20, 10), (9, 18, 10), (0, 9, 10), (10, 20, 10), (10, 18, 10), (10, 9, 0)],
    ids=["gap", "overlap", "again", "claims more", "claims less", "nothing"],
)
async def test_a_part_out_of_order_is_refused_and_says_where_to_go_on(
    ecr: EcrCalls, first: int, last: int, size: int
) -> None:
    """ECR.md 1.3, step 3, and 5 item 11: the extra members stand at the top."""
    upload = await start(ecr)
    await ecr("UploadLayerPart", **part(upload, 0, b"0123456789"))
    refusal = await ecr.refused("UploadLayerPart", **part(upload, first, bytes(size), last))
    assert refusal.type == "InvalidLayerPartException"
    assert refusal.message == (
        f"Invalid layer part upload for upload with id '{upload}' in the repository with name '{APP}' in the registry "
        f"with id '{HOME.account}'"
    )
    assert refusal.members == {
        "registryId": HOME.account,
        "repositoryName": APP,
        "uploadId": upload,
        "lastValidByteReceived": 9,
    }
    await ecr("UploadLayerPart", **part(upload, 10, b"goes on"))


async def test_of_two_equal_parts_at_once_one_is_taken(ecr: EcrCalls) -> None:
    """ECR.md 5 item 11: parts are strictly consecutive, also when two come together."""
    upload = await start(ecr)
    data = bytes(2 * MIB)
    done = await asyncio.gather(
        *(ecr("UploadLayerPart", **part(upload, 0, data)) for _ in range(3)), return_exceptions=True
    )
    assert sum(isinstance(one, dict) for one in done) == 1
    assert {one.aws for one in done if not isinstance(one, dict)} == {"InvalidLayerPartException"}  # type: ignore[union-attr]
    await ecr("CompleteLayerUpload", **complete(upload, sha256(data)))


async def test_a_small_part_before_the_last_is_refused_at_the_end(ecr: EcrCalls) -> None:
    """ECR.md 1.3, step 4: LayerPartTooSmall comes with Complete; the last part is exempt."""
    upload = await start(ecr)
    for number in range(3):
        await ecr("UploadLayerPart", **part(upload, number * 4, b"tiny"))
    refusal = await ecr.refused("CompleteLayerUpload", **complete(upload, sha256(b"tiny" * 3)))
    assert refusal.type == "LayerPartTooSmallException"


async def test_a_restart_remembers_how_small_a_part_was(tmp_path: Path) -> None:
    """RELIABILITY section 4, "Restart mid-upload": the sizes are kept with the bytes."""
    async with ecr_calls(tmp_path / "data") as ecr:
        await ecr.make(APP)
        small, large = await start(ecr), await start(ecr)
        await ecr("UploadLayerPart", **part(small, 0, b"tiny"))
        await ecr("UploadLayerPart", **part(small, 4, b"more"))
        await ecr("UploadLayerPart", **part(large, 0, bytes(PART_BYTES_MIN)))
    async with ecr_calls(tmp_path / "data") as ecr:
        assert (await ecr.refused("CompleteLayerUpload", **complete(small, sha256(b"tinymore")))).type == (
            "LayerPartTooSmallException"
        )
        await ecr("UploadLayerPart", **part(large, PART_BYTES_MIN, b"end"))
        await ecr("CompleteLayerUpload", **complete(large, sha256(bytes(PART_BYTES_MIN) + b"end")))


async def test_a_layer_has_so_many_parts_and_bytes_and_no_more(ecr: EcrCalls, monkeypatch: pytest.MonkeyPatch) -> None:
    """ECR.md 6.3, quotas: layer parts, layer size."""
    monkeypatch.setattr("mirror.registry.layers._QUOTAS", (2, 5))
    upload = await start(ecr)
    await ecr("UploadLayerPart", **part(upload, 0, b"abc"))
    assert (await ecr.refused("UploadLayerPart", **part(upload, 3, b"def"))).type == "LimitExceededException"
    await ecr("UploadLayerPart", **part(upload, 3, b"d"))
    assert (await ecr.refused("UploadLayerPart", **part(upload, 4, b"e"))).type == "LimitExceededException"


async def test_an_upload_without_a_part_is_empty(ecr: EcrCalls) -> None:
    """ECR.md 1.3, step 4."""
    upload = await start(ecr)
    refusal = await ecr.refused("CompleteLayerUpload", **complete(upload, sha256(b"")))
    assert refusal.type == "EmptyUploadException"


async def test_other_bytes_are_an_invalid_layer(ecr: EcrCalls) -> None:
    """ECR.md 1.3, step 4: digest mismatch."""
    upload = await start(ecr)
    await ecr("UploadLayerPart", **part(upload, 0, b"data"))
    refusal = await ecr.refused("CompleteLayerUpload", **complete(upload, ABSENT))
    assert refusal.type == "InvalidLayerException"
    checked = await ecr("BatchCheckLayerAvailability", repositoryName=APP, layerDigests=[sha256(b"data")])
    assert checked["layers"][0]["layerAvailability"] == "UNAVAILABLE"


async def test_a_layer_that_is_there_already_is_said_to_be(ecr: EcrCalls) -> None:
    """ECR.md 1.3, step 4: all clients treat it as success; of another repository it is new."""
    await ecr.make("other")
    await ecr.push_layer("other", b"data")
    await ecr.push_layer(APP, b"data")
    upload = await start(ecr)
    await ecr("UploadLayerPart", **part(upload, 0, b"data"))
    refusal = await ecr.refused("CompleteLayerUpload", **complete(upload, sha256(b"data")))
    assert refusal.type == "LayerAlreadyExistsException"
    assert (await ecr.refused("CompleteLayerUpload", **complete(upload, sha256(b"data")))).type == (
        "UploadNotFoundException"
    )


async def test_wrong_bytes_are_not_excused_by_a_layer_that_is_there(ecr: EcrCalls) -> None:
    """ECR.md 5 item 11: what is said to exist was sent whole and right."""
    digest = await ecr.push_layer(APP, b"data")
    upload = await start(ecr)
    await ecr("UploadLayerPart", **part(upload, 0, b"tada"))
    refusal = await ecr.refused("CompleteLayerUpload", **complete(upload, digest))
    assert refusal.type == "InvalidLayerException"


@pytest.mark.parametrize("operation", ["UploadLayerPart", "CompleteLayerUpload"])
async def test_an_unknown_upload_is_refused_in_ecrs_words(ecr: EcrCalls, operation: str) -> None:
    """ECR.md 1.3, step 4; an upload belongs to one repository."""
    await ecr.make("other")
    for upload in (UNKNOWN_UPLOAD, await start(ecr, "other")):
        values = part(upload, 0, b"x") if operation == "UploadLayerPart" else complete(upload, ABSENT)
        refusal = await ecr.refused(operation, **values)
        assert refusal.type == "UploadNotFoundException"
        assert refusal.message == (
            f"Upload with id '{upload}' could not be found for the repository with name '{APP}' in the registry with "
            f"id '{HOME.account}'"
        )


@pytest.mark.parametrize("digests", [[ABSENT, "sha256:" + "1" * 64], ["sha256:abc"]])
async def test_a_layer_has_one_name(ecr: EcrCalls, digests: list[str]) -> None:
    """ECR API reference, CompleteLayerUpload: the digest of the layer, in a list."""
    upload = await start(ecr)
    await ecr("UploadLayerPart", **part(upload, 0, b"data"))
    assert (await ecr.refused("CompleteLayerUpload", **complete(upload, *digests))).type == "InvalidParameterException"
