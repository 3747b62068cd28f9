"""The main job in one page: pull through, push, pull again."""

from pathlib import Path

from running import cached, running
from standin import Standin


async def test_a_manifest_and_its_blobs_are_pulled_through_once(tmp_path: Path) -> None:
    """FIELD section 5, item 11: a digest is never fetched twice, whatever name it is asked by."""
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1")
        async with running(tmp_path, upstreams=[cached(standin)]) as node:
            for prefix, query in (("", ""), ("docker.io/", ""), ("", "?ns=docker.io")):
                base = f"/v2/{prefix}library/app"
                status, headers, body = await node.fetch(f"{base}/manifests/v1{query}")
                assert (status, body) == (200, image.manifest)
                assert headers["Docker-Content-Digest"] == image.digest
                for blob in (image.config, *image.layers):
                    assert (await node.fetch(f"{base}/blobs/{blob}{query}"))[0] == 200
        assert all(standin.count("blob", blob, "GET") == 1 for blob in (image.config, *image.layers))
