"""Collection while the node serves: legal sequences of pushes, pulls and deletes never miss a blob."""

import asyncio
import io
import time
from pathlib import Path
from random import Random

from pushing import ask, image_manifest, push_image, put_manifest, sha256
from running import RunningNode, running

from mirror.jobs.collection import Collector
from mirror.oci.digest import parse_digest
from mirror.store.store import Store
from mirror.store.verify import Verification

NAME = "team/app"
GRACE_S = 0.5  # a push of these tests takes some milliseconds
WORK_S = 4.0
PUSHERS = 6
LAYERS = tuple(Random(number).randbytes(1_000 if number % 2 else 80_000) for number in range(6))


def behind(node: RunningNode) -> tuple[Store, Collector]:
    """The store and the collector of a node, with the grace time of these tests."""
    house = node.node._house
    assert house is not None
    house.store.guard.grace_s = GRACE_S
    return house.store, house.collector


async def push(node: RunningNode, layers: list[bytes], tag: str) -> bytes:
    """Push as clients do: ask for each blob, send what is not there, then the manifest."""
    config = f'{{"tag": "{tag}"}}'.encode()
    for blob in (config, *layers):
        status, _, _ = await ask(node, "HEAD", f"/v2/{NAME}/blobs/{sha256(blob)}")
        if status == 404:
            await node.push_blob(NAME, blob, sha256(blob))
    manifest = image_manifest(config, layers)
    status, _, body = await put_manifest(node, NAME, tag, manifest)
    assert status == 201, body
    return manifest


async def check_whole(node: RunningNode, layers: list[bytes], tag: str, manifest: bytes) -> None:
    assert (await ask(node, "GET", f"/v2/{NAME}/manifests/{tag}"))[::2] == (200, manifest)
    for layer in layers:
        assert (await ask(node, "GET", f"/v2/{NAME}/blobs/{sha256(layer)}"))[::2] == (200, layer)


async def work(node: RunningNode, worker: int, until: float) -> int:
    """Push, pull and delete images whose layers others have too; return how many."""
    random, count = Random(worker), 0
    while time.monotonic() < until:
        count += 1
        tag, layers = f"w{worker}-{count}", random.sample(LAYERS, 2)
        manifest = await push(node, layers, tag)
        await asyncio.sleep(random.random() * GRACE_S / 5)
        await check_whole(node, layers, tag, manifest)
        assert (await ask(node, "DELETE", f"/v2/{NAME}/manifests/{sha256(manifest)}"))[0] == 202
        if random.random() < 0.2:
            await asyncio.sleep(1.5 * GRACE_S)
    return count


async def collecting(collector: Collector, until: float) -> int:
    count = 0
    while time.monotonic() < until:
        count += (await collector.collect()).blobs
        await asyncio.sleep(0.002)
    return count


async def test_pushes_pulls_deletes_and_collection_at_once_lose_nothing(tmp_path: Path) -> None:
    """RELIABILITY G22: 0 BLOB_UNKNOWN and MANIFEST_BLOB_UNKNOWN for legal sequences; FIELD pain 11."""
    async with running(tmp_path) as node:
        store, collector = behind(node)
        kept = await push(node, list(LAYERS[:2]), "kept")
        until = time.monotonic() + WORK_S
        collected, *done = await asyncio.gather(
            collecting(collector, until), *(work(node, worker, until) for worker in range(PUSHERS))
        )
        assert collected > PUSHERS
        assert sum(done) > 2 * PUSHERS
        await check_whole(node, list(LAYERS[:2]), "kept", kept)
        await asyncio.sleep(GRACE_S)
        await collector.walk()
        await asyncio.sleep(2 * GRACE_S)
        await collector.collect()
        left = {str(digest) for digest, _ in store.index.blobs(None, 1_000)}
        assert left == {sha256(kept), sha256(b'{"tag": "kept"}'), *map(sha256, LAYERS[:2])}
        assert [fault async for fault in Verification(store).faults()] == []


async def test_a_blob_that_was_collected_is_mounted_no_more_and_can_be_pushed_again(tmp_path: Path) -> None:
    """distribution-spec, "Mounting a blob": what is not here is uploaded."""
    async with running(tmp_path) as node:
        store, collector = behind(node)
        image = await push_image(node, NAME, "v1")
        await ask(node, "DELETE", f"/v2/{NAME}/manifests/{image.digest}")
        await asyncio.sleep(2 * GRACE_S)
        assert (await collector.collect()).blobs == 3
        mount = f"/v2/team/other/blobs/uploads/?mount={sha256(image.layer)}&from={NAME}"
        assert (await ask(node, "POST", mount))[0] == 202
        assert (await ask(node, "HEAD", f"/v2/{NAME}/blobs/{sha256(image.layer)}"))[0] == 404
        assert (await put_manifest(node, NAME, "v1", image.manifest))[0] == 404
        assert (await push_image(node, NAME, "v1")).digest == image.digest
        assert store.index.blob(parse_digest(sha256(image.layer))) is not None


async def test_a_download_under_way_ends_well_when_its_blob_is_collected(tmp_path: Path) -> None:
    """Issue 5, section 2: readers have the file open."""
    layer = Random(1).randbytes(20_000_000)
    async with running(tmp_path) as node:
        _, collector = behind(node)
        upload = f"/v2/{NAME}/blobs/uploads/?digest={sha256(layer)}"
        assert (await ask(node, "POST", upload, data=io.BytesIO(layer)))[0] == 201
        async with node.get(f"/v2/{NAME}/blobs/{sha256(layer)}") as response:
            first = await response.content.readexactly(100)
            await ask(node, "DELETE", f"/v2/{NAME}/blobs/{sha256(layer)}")
            await asyncio.sleep(2 * GRACE_S)
            assert (await collector.collect()).blobs == 1
            assert first + await response.read() == layer
