"""Deleting: tags, manifests and blobs, and what it leaves standing."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pushing import ask, code_of, described, image_manifest, push_blob, push_image, put_manifest, sha256
from running import RunningNode, running

from mirror.oci.media import OCI_MANIFEST

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningNode]:
    async with running(tmp_path_factory.mktemp("node")) as node:
        yield node


async def tags(node: RunningNode, name: str) -> Any:
    return json.loads((await node.fetch(f"/v2/{name}/tags/list"))[2])["tags"]


async def status_of(node: RunningNode, path: str, method: str = "GET") -> int:
    return (await ask(node, method, path))[0]


async def test_a_deleted_tag_is_gone_and_its_manifest_stays(node: RunningNode) -> None:
    """distribution-spec, "Deleting tags": 202, then 404; CLIENTS quirk 11."""
    image = await push_image(node, "delete/tag", "v1")
    await put_manifest(node, "delete/tag", "v2", image.manifest)
    assert await status_of(node, "/v2/delete/tag/manifests/v1", "DELETE") == 202
    for method in ("GET", "HEAD", "DELETE"):
        assert await status_of(node, "/v2/delete/tag/manifests/v1", method) == 404
    assert await status_of(node, "/v2/delete/tag/manifests/v2") == 200
    assert await status_of(node, f"/v2/delete/tag/manifests/{image.digest}") == 200
    assert await tags(node, "delete/tag") == ["v2"]


async def test_a_deleted_manifest_takes_its_tags_with_it(node: RunningNode) -> None:
    """distribution-spec, "Deleting Manifests": by digest 202, then 404 by digest and by every tag of it."""
    image = await push_image(node, "delete/manifest", "v1")
    await put_manifest(node, "delete/manifest", "v2", image.manifest)
    other = await push_image(node, "delete/manifest", "other")
    assert await status_of(node, f"/v2/delete/manifest/manifests/{image.digest}", "DELETE") == 202
    for reference in (image.digest, "v1", "v2"):
        for method in ("GET", "HEAD", "DELETE"):
            status, _, body = await ask(node, method, f"/v2/delete/manifest/manifests/{reference}")
            assert status == 404
            assert method == "HEAD" or code_of(body) == "MANIFEST_UNKNOWN"
    assert await tags(node, "delete/manifest") == ["other"]
    assert (await node.fetch(f"/v2/delete/manifest/manifests/{other.digest}"))[2] == other.manifest


async def test_what_was_deleted_may_be_pushed_again(node: RunningNode) -> None:
    """A deletion is no ban: the same bytes are taken again, and found under the same names."""
    image = await push_image(node, "delete/again", "v1")
    await ask(node, "DELETE", f"/v2/delete/again/manifests/{image.digest}")
    await ask(node, "DELETE", f"/v2/delete/again/blobs/{sha256(image.layer)}")
    assert await push_image(node, "delete/again", "v1") == image
    assert (await node.fetch("/v2/delete/again/manifests/v1"))[2] == image.manifest
    assert (await node.fetch(f"/v2/delete/again/blobs/{sha256(image.layer)}"))[2] == image.layer


async def test_a_deleted_blob_is_gone_from_its_repository_only(node: RunningNode) -> None:
    """distribution-spec, "Deleting Blobs": 202, then 404; FIELD tests, item 12: the other repository still pulls."""
    digest = await push_blob(node, "delete/blob", b"shared by two")
    await push_blob(node, "delete/other", b"shared by two")
    assert await status_of(node, f"/v2/delete/blob/blobs/{digest}", "DELETE") == 202
    for method in ("GET", "HEAD", "DELETE"):
        status, _, body = await ask(node, method, f"/v2/delete/blob/blobs/{digest}")
        assert status == 404
        assert method == "HEAD" or code_of(body) == "BLOB_UNKNOWN"
    assert (await node.fetch(f"/v2/delete/other/blobs/{digest}"))[2] == b"shared by two"


async def test_a_manifest_cannot_be_pushed_over_a_deleted_blob(node: RunningNode) -> None:
    """MANIFEST_BLOB_UNKNOWN: the bytes may still be on disk, but they are not this repository's any more."""
    image = await push_image(node, "delete/layer", "v1")
    await ask(node, "DELETE", f"/v2/delete/layer/blobs/{sha256(image.layer)}")
    status, _, body = await put_manifest(node, "delete/layer", "v2", image.manifest)
    assert (status, code_of(body)) == (404, "MANIFEST_BLOB_UNKNOWN")


async def test_a_deleted_referrer_is_no_longer_listed(node: RunningNode) -> None:
    """distribution-spec, "Listing Referrers": what is deleted does not refer."""
    image = await push_image(node, "delete/referrer", "v1")
    await push_blob(node, "delete/referrer", b"{}")
    data = image_manifest(b"{}", subject=described(image.manifest, OCI_MANIFEST))
    await put_manifest(node, "delete/referrer", sha256(data), data)
    path = f"/v2/delete/referrer/referrers/{image.digest}"
    assert len(json.loads((await node.fetch(path))[2])["manifests"]) == 1
    assert await status_of(node, f"/v2/delete/referrer/manifests/{sha256(data)}", "DELETE") == 202
    assert json.loads((await node.fetch(path))[2])["manifests"] == []


async def test_what_was_never_there_cannot_be_deleted(node: RunningNode) -> None:
    """distribution-spec, "Content Management": 404 for unknown names; and asking makes no repository."""
    for path, code in (
        ("/v2/never/was/manifests/v1", "MANIFEST_UNKNOWN"),
        (f"/v2/never/was/manifests/{sha256(b'')}", "MANIFEST_UNKNOWN"),
        (f"/v2/never/was/blobs/{sha256(b'')}", "BLOB_UNKNOWN"),
    ):
        status, _, body = await ask(node, "DELETE", path)
        assert (status, code_of(body)) == (404, code)
    assert "never/was" not in json.loads((await node.fetch("/v2/_catalog"))[2])["repositories"]


async def test_deletions_survive_a_restart(tmp_path: Path) -> None:
    """DESIGN section 2: the commit is the acknowledgement; what was deleted does not come back."""
    async with running(tmp_path) as node:
        first, second = await push_image(node, "restart/app", "v1"), await push_image(node, "restart/app", "v2")
        await ask(node, "DELETE", f"/v2/restart/app/manifests/{first.digest}")
        await ask(node, "DELETE", f"/v2/restart/app/blobs/{sha256(first.layer)}")
    async with running(tmp_path) as node:
        assert await status_of(node, "/v2/restart/app/manifests/v1") == 404
        assert await status_of(node, f"/v2/restart/app/blobs/{sha256(first.layer)}") == 404
        assert (await node.fetch("/v2/restart/app/manifests/v2"))[2] == second.manifest
