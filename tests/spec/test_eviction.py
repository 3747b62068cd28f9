"""Eviction: a cache that is bounded, and serves what it let go as it serves what it never had."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pulling import pull
from pushing import ask, image_manifest, put_manifest, sha256
from registries import HOME
from running import RunningNode, cached, running
from standin import Image, Standin

from mirror.jobs.eviction import Evicted, Evictor
from mirror.oci.digest import parse_digest
from mirror.oci.names import Repository
from mirror.store.store import Store
from mirror.store.verify import Verification

KIB = 1024
NAME = "library/app"
LATER_S = 3_600.0
BASE = Random(0).randbytes(100 * KIB)


def layer(number: int) -> bytes:
    return Random(number).randbytes(100 * KIB)


def house_of(node: RunningNode) -> Any:
    return node.node._house


def store_of(node: RunningNode) -> Store:
    store: Store = house_of(node).store
    return store


def evictor_of(node: RunningNode, later_s: float = LATER_S) -> Evictor:
    """The node's own, so much later that nothing is in use any more."""
    evictor: Evictor = house_of(node).evictor
    evictor._clock = lambda: time.time() + later_s
    return evictor


def is_here(node: RunningNode, digest: str) -> bool:
    return store_of(node).index.blob(parse_digest(digest)) is not None


def images_here(node: RunningNode, *images: Image) -> list[bool]:
    return [is_here(node, image.digest) and all(is_here(node, one) for one in image.layers) for image in images]


async def check(node: RunningNode) -> None:
    """Everything that the node says it has is whole, and the sum of it is right."""
    store = store_of(node)
    assert [fault async for fault in Verification(store).faults()] == []
    assert store.index.blob_bytes() == sum(size for _, size in store.index.blobs(None, 10_000))


@pytest.fixture
async def standin() -> AsyncIterator[Standin]:
    async with Standin() as opened:
        yield opened


def bounded(root: Path, standin: Standin, **bounds: Any) -> Any:
    return running(root, upstreams=[cached(standin)], cache=bounds)


async def test_the_images_that_nobody_used_for_longest_go_until_the_cache_fits(
    tmp_path: Path, standin: Standin
) -> None:
    """Issue 5, section 2: least recently used first; blobs counted across images; an evicted image is a miss."""
    one, two, three = (standin.add_image(NAME, f"v{number}", [BASE, layer(number)]) for number in (1, 2, 3))
    async with bounded(tmp_path, standin, cache_bytes_max=350 * KIB) as node:
        for image in (one, two, three):
            await pull(node, image)
        pulls = house_of(node).pull_times
        await pulls.write()
        await pull(node, one)
        await pulls.write()
        assert await evictor_of(node, 0.0).evict() == Evicted()  # all of it is in use
        gone = await evictor_of(node).evict()
        assert gone.images == 1
        assert gone.size > 100 * KIB
        assert images_here(node, one, two, three) == [True, False, True]
        assert await evictor_of(node).evict() == Evicted()
        await check(node)
        standin.forget()
        await pull(node, two)
        assert standin.count("blob", two.layers[1]) == 1
        assert standin.count("blob", sha256(BASE)) == 0
        assert images_here(node, two) == [True]
        await check(node)


async def test_what_is_kept_and_what_is_our_own_stays(tmp_path: Path, standin: Standin) -> None:
    """Issue 5, section 2: pins; nothing owned is ever removed, be it the same blob."""
    pinned = standin.add_image("library/pinned", "v1", [layer(1)])
    shared = standin.add_image(NAME, "v1", [layer(2)])
    async with bounded(tmp_path, standin, cache_bytes_max=1, keep=("docker.io/library/pinned",)) as node:
        await pull(node, pinned)
        await pull(node, shared)
        await node.push_blob("team/own", layer(2), shared.layers[0])
        await node.push_blob("team/own", b"{}", sha256(b"{}"))
        manifest = image_manifest(b"{}", [layer(2)])
        assert (await put_manifest(node, "team/own", "v1", manifest))[0] == 201
        assert (await evictor_of(node).evict()).images == 1
        assert images_here(node, pinned) == [True]
        assert (is_here(node, shared.digest), is_here(node, shared.layers[0])) == (False, True)
        assert (await ask(node, "GET", f"/v2/team/own/blobs/{shared.layers[0]}"))[::2] == (200, layer(2))
        await check(node)


async def test_nothing_is_left_of_an_evicted_image_but_its_repository(tmp_path: Path, standin: Standin) -> None:
    """FIELD pain 10: rows and index entries are bounded as bytes are."""
    image = standin.add_image(NAME, "v1", [layer(1)])
    async with bounded(tmp_path, standin, cache_bytes_max=1) as node:
        await pull(node, image)
        await evictor_of(node).evict()
        store, repository = store_of(node), Repository(HOME, "docker.io", NAME)
        assert store.index.blobs(None, 10) == []
        assert store.index.tags(repository, "", 10) == []
        assert store.index.member(repository, parse_digest(image.layers[0])) is None
        assert store.index.settings(repository) is not None
        await standin.stop()
        assert (await ask(node, "GET", f"/v2/{NAME}/manifests/v1"))[0] == 503


async def test_what_nobody_pulled_for_so_long_goes_though_there_is_room(tmp_path: Path, standin: Standin) -> None:
    """Issue 5, section 2: by age since it was served last."""
    image = standin.add_image(NAME, "v1", [layer(1)])
    async with bounded(tmp_path, standin, cache_unused_s_max=2 * LATER_S) as node:
        await pull(node, image)
        assert await evictor_of(node).evict() == Evicted()
        assert images_here(node, image) == [True]
        assert (await evictor_of(node, 3 * LATER_S).evict()).images == 1
        assert images_here(node, image) == [False]


async def test_a_download_goes_on_when_its_image_is_evicted(tmp_path: Path, standin: Standin) -> None:
    """Issue 5, section 2: nothing in flight is broken."""
    large = Random(9).randbytes(20_000 * KIB)
    image = standin.add_image(NAME, "v1", [large])
    async with bounded(tmp_path, standin, cache_bytes_max=1) as node:
        await pull(node, image)
        async with node.get(f"/v2/{NAME}/blobs/{image.layers[0]}") as response:
            first = await response.content.readexactly(100)
            assert (await evictor_of(node).evict()).images == 1
            assert first + await response.read() == large


async def test_what_was_pushed_meanwhile_evicts_nothing(tmp_path: Path, standin: Standin) -> None:
    """Issue 5, section 2: high and low water: between the two marks nothing goes, whatever our own images take."""
    images = [standin.add_image(NAME, f"v{number}", [layer(number)]) for number in (1, 2, 3)]
    async with bounded(tmp_path, standin, cache_bytes_max=320 * KIB) as node:
        for image in images:
            await pull(node, image)
        assert await evictor_of(node).evict() == Evicted()
        own = layer(4)
        await node.push_blob("team/own", own, sha256(own))
        await node.push_blob("team/own", b"{}", sha256(b"{}"))
        assert (await put_manifest(node, "team/own", "v1", image_manifest(b"{}", [own])))[0] == 201
        assert await evictor_of(node).evict() == Evicted()
        assert images_here(node, *images) == [True, True, True]
