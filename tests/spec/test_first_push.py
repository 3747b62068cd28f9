"""The first push to a name that only the root upstream might have: it makes the name ours, whatever upstream does."""

from pathlib import Path

from pushing import push_image
from running import cached, running
from standin import Standin

ABSENT = "sha256:" + "0" * 64


async def test_a_new_name_can_be_pushed_while_the_root_upstream_is_down(tmp_path: Path) -> None:
    """CLIENTS section 2, "Push": every client begins by HEADs, and 503 to one of them ends the push."""
    async with Standin() as standin:
        await standin.stop()
        async with running(tmp_path, upstreams=[cached(standin)]) as node:
            async with node.head(f"/v2/team/app/blobs/{ABSENT}") as response:
                assert response.status == 404
            async with node.head("/v2/team/app/manifests/v1") as response:
                assert response.status == 404
            image = await push_image(node, "team/app", "v1")
            assert (await node.fetch("/v2/team/app/manifests/v1"))[2] == image.manifest


async def test_the_digests_of_a_first_push_are_not_told_upstream(tmp_path: Path) -> None:
    """What we are about to push is nobody else's business."""
    async with Standin() as standin, running(tmp_path, upstreams=[cached(standin)]) as node:
        async with node.head(f"/v2/team/app/blobs/{ABSENT}") as response:
            assert response.status == 404
        assert standin.count("blob") == 0


async def test_a_node_that_takes_no_pushes_asks_upstream_for_a_blob(tmp_path: Path) -> None:
    """FIELD "Cheap wins": HEAD of a cold blob is answered, so that caches can be chained."""
    async with Standin() as standin, running(tmp_path, upstreams=[cached(standin)], anonymous=("pull",)) as node:
        blob = standin.add_blob(b"known upstream only")
        async with node.head(f"/v2/library/app/blobs/{blob}") as response:
            assert (response.status, response.headers["Content-Length"]) == (200, "19")
        assert standin.count("blob", blob, "GET") == 0
