"""Sparse indexes: kept bit-exact though only some platforms are here (issue section 4; FIELD "Tests to copy", 18)."""

import json
from pathlib import Path

from pulling import pull, settled
from running import cached, running
from standin import Image, Index, Standin

MULTI = "/v2/library/app/manifests/multi"


def manifest_path(image: Image | Index) -> str:
    return f"/v2/{image.name}/manifests/{image.digest}"


async def test_offline_the_platform_that_is_here_pulls_and_the_other_fails_clearly(tmp_path: Path) -> None:
    """Present platforms pull by tag and by index digest, others get a clear error."""
    async with Standin() as standin:
        index = standin.add_index("library/app", "multi")
        here, missing = index.images
        rule = cached(standin, tag_fresh_s=0)
        async with running(tmp_path, upstreams=[rule]) as node:
            await node.fetch(MULTI)
            await pull(node, here, here.digest)
        await standin.stop()
        async with running(tmp_path, upstreams=[rule]) as node:
            for path in (MULTI, manifest_path(index)):
                status, headers, body = await node.fetch(path)
                assert (status, body) == (200, index.manifest)
                assert (headers["Content-Type"], headers["Docker-Content-Digest"]) == (index.media_type, index.digest)
            await pull(node, here, here.digest)
            status, _, body = await node.fetch(manifest_path(missing))
            assert (status, json.loads(body)["errors"][0]["code"]) == (503, "UNAVAILABLE")


async def test_an_index_of_which_no_platform_is_here_is_refused_offline(tmp_path: Path) -> None:
    """CLIENTS quirk 2: a 200 would bind the client to a pull that cannot succeed."""
    async with Standin() as standin:
        index = standin.add_index("library/app", "multi")
        rule = cached(standin)
        async with running(tmp_path, upstreams=[rule]) as node:
            await node.fetch(MULTI)
            await node.fetch(manifest_path(index.images[0]))
        await standin.stop()
        async with running(tmp_path, upstreams=[rule]) as node:
            for path in (MULTI, manifest_path(index), manifest_path(index.images[0])):
                assert (await node.fetch(path))[0] == 503


async def test_only_what_is_asked_of_an_index_is_fetched(tmp_path: Path) -> None:
    """`platforms`: optional prefetch list; what is asked for is always fetched, and nothing else."""
    async with Standin() as standin:
        index = standin.add_index("library/app", "multi", ["linux/amd64", "linux/arm64", "linux/s390x"])
        async with running(tmp_path, upstreams=[cached(standin)]) as node:
            await node.fetch(MULTI)
            await pull(node, index.images[1], index.images[1].digest)
        assert standin.count("manifest") == 2
        assert standin.count("blob") == 3


async def test_listed_platforms_are_brought_in_without_being_asked(tmp_path: Path) -> None:
    """`platforms` of the configuration: complete before the first client of that platform comes."""
    async with Standin() as standin:
        index = standin.add_index("library/app", "multi", ["linux/amd64", "linux/arm64/v8"])
        wanted = index.images[1]
        async with running(tmp_path, upstreams=[cached(standin, platforms=("linux/arm64",))]) as node:
            await node.fetch(MULTI)
            path = f"/v2/library/app/blobs/{wanted.layers[-1]}"
            while not standin.count("blob", wanted.layers[-1]):
                await node.fetch("/healthz")
            assert (await node.fetch(path))[0] == 200
            await settled(node)
            await standin.stop()
            await pull(node, wanted, wanted.digest)
        assert standin.count("manifest", index.images[0].digest) == 0
