"""Manifests that are pushed: what is taken, kept bit for bit, and what is refused and why."""

import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from pushing import (
    code_of,
    described,
    image_manifest,
    index_manifest,
    push_blob,
    push_image,
    put_manifest,
    sha256,
    sha512,
    written,
)
from running import RunningNode, running

from mirror.oci.manifest import MANIFEST_BYTES_MAX
from mirror.oci.media import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONFIG = b'{"architecture": "amd64", "os": "linux"}'
LAYER = b"layer " * 1000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningNode]:
    async with running(tmp_path_factory.mktemp("node")) as node:
        yield node


async def with_blobs(node: RunningNode, name: str) -> str:
    """Push the blobs that the manifests of these tests name."""
    for blob in (CONFIG, LAYER):
        await push_blob(node, name, blob)
    return name


async def pulled(node: RunningNode, name: str, reference: str) -> tuple[str, bytes]:
    """Pull a manifest by GET and HEAD; return its media type and bytes."""
    path = f"/v2/{name}/manifests/{reference}"
    status, headers, body = await node.fetch(path, headers={"Accept": "*/*"})
    assert status == 200, body
    async with node.head(path) as head:
        assert (head.status, head.headers["Content-Length"]) == (200, str(len(body)))
        assert head.headers["Content-Type"] == headers["Content-Type"]
    return headers["Content-Type"], body


def padded(size: int) -> bytes:
    """An OCI manifest of exactly `size` bytes."""
    empty = image_manifest(CONFIG, annotations={"pad": ""})
    return image_manifest(CONFIG, annotations={"pad": "x" * (size - len(empty))})


async def test_a_manifest_is_pushed_by_tag_and_pulled_by_both(node: RunningNode) -> None:
    """distribution-spec, "Pushing manifests": Location and Docker-Content-Digest; the bytes are bit-exact for ever."""
    name = await with_blobs(node, "by/tag")
    data = image_manifest(CONFIG, [LAYER])
    status, headers, body = await put_manifest(node, name, "v1", data)
    assert (status, body) == (201, b"")
    assert headers["Location"] == f"/v2/{name}/manifests/{sha256(data)}"
    assert headers["Docker-Content-Digest"] == sha256(data)
    assert await pulled(node, name, "v1") == await pulled(node, name, sha256(data)) == (OCI_MANIFEST, data)


@pytest.mark.parametrize("named", [sha256, sha512])
async def test_a_manifest_is_pushed_by_digest(node: RunningNode, named: Any) -> None:
    """CLIENTS quirk 13: what is pushed by sha512 is answered by sha512."""
    name = await with_blobs(node, f"by/digest/{named.__name__}")
    data = image_manifest(CONFIG, [LAYER])
    status, headers, _ = await put_manifest(node, name, named(data), data)
    assert (status, headers["Docker-Content-Digest"]) == (201, named(data))
    assert headers["Location"] == f"/v2/{name}/manifests/{named(data)}"
    assert await pulled(node, name, named(data)) == (OCI_MANIFEST, data)
    assert json.loads((await node.fetch(f"/v2/{name}/tags/list"))[2])["tags"] == []


async def test_an_image_may_be_sha512_throughout(node: RunningNode) -> None:
    """conformance, OCI_DATA_SHA512: config, layers, manifest and index."""
    name = "sha512/all"
    for blob in (CONFIG, LAYER):
        await node.push_blob(name, blob, sha512(blob))
    config, layer = (described(blob) | {"digest": sha512(blob)} for blob in (CONFIG, LAYER))
    image = written({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer]})
    assert (await put_manifest(node, name, sha512(image), image))[0] == 201
    index = index_manifest(manifests=[described(image, OCI_MANIFEST) | {"digest": sha512(image)}])
    assert (await put_manifest(node, name, sha512(index), index, OCI_INDEX))[0] == 201
    assert await pulled(node, name, sha512(index)) == (OCI_INDEX, index)
    assert (await node.fetch(f"/v2/{name}/blobs/{sha512(LAYER)}"))[2] == LAYER
    assert (await node.fetch(f"/v2/{name}/blobs/{sha256(LAYER)}"))[0] == 404


async def test_a_manifest_may_have_4_mib_and_not_a_byte_more(node: RunningNode) -> None:
    """distribution-spec: a registry should take 4 MiB; RELIABILITY A2: 413 above it."""
    name = await with_blobs(node, "large")
    largest = padded(MANIFEST_BYTES_MAX)
    assert (await put_manifest(node, name, "largest", io.BytesIO(largest)))[0] == 201
    assert await pulled(node, name, "largest") == (OCI_MANIFEST, largest)
    status, _, body = await put_manifest(node, name, "larger", io.BytesIO(padded(MANIFEST_BYTES_MAX + 1)))
    assert (status, code_of(body)) == (413, "SIZE_INVALID")
    assert (await node.fetch(f"/v2/{name}/manifests/larger"))[0] == 404


@pytest.mark.parametrize(
    "media_type", [OCI_MANIFEST, DOCKER_MANIFEST, "application/vnd.example.thing.v7+json", "text/x-whatever"]
)
async def test_the_media_type_is_kept_apart_from_the_bytes(node: RunningNode, media_type: str) -> None:
    """CLIENTS quirk 5: a manifest without `mediaType` is what its Content-Type said; unknown types are taken."""
    name = await with_blobs(node, "media/types")
    body = json.loads(image_manifest(CONFIG, [LAYER])) | {"note": media_type}
    del body["mediaType"]
    data = written(body)
    assert (await put_manifest(node, name, "typed", data, f"{media_type}; charset=utf-8"))[0] == 201
    assert await pulled(node, name, "typed") == await pulled(node, name, sha256(data)) == (media_type, data)


async def test_docker_images_and_lists_are_taken(node: RunningNode) -> None:
    """Docker manifest v2, schema 2: image and list, kept as what they are."""
    name = await with_blobs(node, "docker/schema2")
    image = image_manifest(CONFIG, [LAYER], mediaType=DOCKER_MANIFEST)
    assert (await put_manifest(node, name, "v1", image, DOCKER_MANIFEST))[0] == 201
    children = [described(image, DOCKER_MANIFEST, platform={"os": "linux", "architecture": "amd64"})]
    lists = written({"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": children})
    assert (await put_manifest(node, name, "list", lists, DOCKER_LIST))[0] == 201
    assert await pulled(node, name, "v1") == (DOCKER_MANIFEST, image)
    assert await pulled(node, name, "list") == (DOCKER_LIST, lists)


async def test_indexes_nest_and_may_be_empty(node: RunningNode) -> None:
    """conformance: OCI index, nested index, index of nothing."""
    name = await with_blobs(node, "indexes")
    image = image_manifest(CONFIG, [LAYER])
    inner = index_manifest([image])
    outer = index_manifest(manifests=[described(inner, OCI_INDEX)])
    kinds = (("image", image, OCI_MANIFEST), ("inner", inner, OCI_INDEX), ("outer", outer, OCI_INDEX))
    for tag, data, media_type in (*kinds, ("nothing", index_manifest(), OCI_INDEX)):
        assert (await put_manifest(node, name, tag, data, media_type))[0] == 201, tag
        assert await pulled(node, name, tag) == (media_type, data)


async def test_an_artifact_is_taken(node: RunningNode) -> None:
    """image-spec 1.1, "Guidelines for artifact usage": artifactType, the empty config, no layers."""
    await push_blob(node, "artifacts", b"{}")
    config = described(b"{}", "application/vnd.oci.empty.v1+json")
    data = image_manifest(b"{}", config=config, artifactType="application/vnd.example.sbom")
    assert (await put_manifest(node, "artifacts", "v1", data))[0] == 201
    assert await pulled(node, "artifacts", "v1") == (OCI_MANIFEST, data)


async def test_a_subject_is_confirmed_and_need_not_be_there(node: RunningNode) -> None:
    """distribution-spec 1.1, "Pushing Manifests with Subject": OCI-Subject, also for a subject that is missing."""
    await push_blob(node, "subjects", b"{}")
    missing = described(b"nobody has this", OCI_MANIFEST)
    status, headers, _ = await put_manifest(node, "subjects", "v1", image_manifest(b"{}", subject=missing))
    assert (status, headers["OCI-Subject"]) == (201, missing["digest"])
    assert "OCI-Subject" not in (await put_manifest(node, "subjects", "v2", image_manifest(b"{}")))[1]


async def test_layers_that_live_elsewhere_need_not_be_here(node: RunningNode) -> None:
    """conformance, OCI_DATA_NONDISTRIBUTABLE: foreign layers are not asked for."""
    name = await with_blobs(node, "foreign")
    foreign = described(b"elsewhere", "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip")
    with_urls = described(b"far away", urls=["https://example.com/layer"])
    data = image_manifest(CONFIG, layers=[foreign, with_urls, described(LAYER)])
    assert (await put_manifest(node, name, "v1", data))[0] == 201
    assert (await node.fetch(f"/v2/{name}/blobs/{sha256(b'elsewhere')}"))[0] == 404


async def test_a_tag_moves_to_what_was_pushed_last(node: RunningNode) -> None:
    """distribution-spec, "Pushing manifests": the old manifest stays, by its digest."""
    old = await push_image(node, "moving", "latest", "a")
    new = await push_image(node, "moving", "latest", "b")
    assert (await pulled(node, "moving", "latest"))[1] == new.manifest
    assert (await pulled(node, "moving", old.digest))[1] == old.manifest


async def test_tags_may_be_given_as_parameters(node: RunningNode) -> None:
    """conformance, OCI_API_MANIFESTS_TAG_PARAM (1.1+dev): a push by digest may set tags, confirmed by OCI-Tag."""
    name = await with_blobs(node, "tag/parameters")
    data = image_manifest(CONFIG, [LAYER])
    status, headers, _ = await put_manifest(node, name, f"{sha256(data)}?tag=one&tag=two", data)
    assert (status, headers.getall("OCI-Tag")) == (201, ["one", "two"])
    assert (await pulled(node, name, "one"))[1] == (await pulled(node, name, "two"))[1] == data
    status, _, body = await put_manifest(node, name, f"{sha256(data)}?tag=-bad", data)
    assert (status, code_of(body)) == (400, "TAG_INVALID")
