"""Everything at once in one node, for some seconds: bench/soak.py does the same for longer, in a process of its own."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest
from running import cached, running
from soaking import KINDS, Client, Image, Kind, Soak, make_image
from standin import OCI_MANIFEST, Standin
from waiting import until

from mirror.cli.socket import reached
from mirror.store.verify import Verification
from mirror.web.admin_socket import NAME as ADMIN_SOCKET

SECONDS = 3.0
GRACE_S = 1.5  # a push of the soak takes a tenth of it
SHORT_S = 0.1
KIB = 1024
IMAGES = 20
LAYER_BYTES = 200 * KIB
CACHE_BYTES_MAX = IMAGES * LAYER_BYTES // 4


def fill_upstream(standin: Standin) -> list[Image]:
    """Put images there, each with a layer of its own and one that all have."""
    images = []
    for number in range(IMAGES):
        layers = [Random(number).randbytes(LAYER_BYTES), b"of all of them" * KIB]
        image = make_image(f"library/app{number % 3}", f"v{number}", layers)
        for blob in image.blobs:
            standin.add_blob(blob)
        standin.add_manifest(image.name, image.tag, image.manifest, OCI_MANIFEST)
        images.append(image)
    return images


async def evict(house: Any, soak: Soak) -> int:
    """Evict as the node does; what was pulled a moment ago is in use until its time is written."""
    await house.pull_times.write()
    soak.done["images evicted"] += (await house.evictor.evict()).images
    return 1


def needed(images: Iterable[Image]) -> set[str]:
    return {digest for image in images for digest in (image.digest, *image.digests)}


async def check_sums(house: Any, soak: Soak) -> None:
    """What is left is what our own images need and a cache within its bounds, whole, and the sum of it is right."""
    store = house.store
    ours, theirs = needed(soak.images), needed(soak.upstream)

    def left() -> dict[str, int]:
        return {str(digest): size for digest, size in store.index.blobs(None, 100_000)}

    async def is_settled() -> bool:
        await house.collector.walk()
        await house.collector.collect()
        await evict(house, soak)
        cached = {digest: size for digest, size in left().items() if digest not in ours}
        return cached.keys() <= theirs and sum(cached.values()) <= CACHE_BYTES_MAX

    store.guard.grace_s = SHORT_S
    await until(is_settled)
    assert ours <= left().keys()
    assert store.index.blob_bytes() == sum(left().values())
    assert [fault async for fault in Verification(store).faults()] == []


async def test_everything_at_once_loses_nothing_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, events: list[Any]
) -> None:
    """Issue 5, sections 2 and 5: pushes, pulls, deletions, policies, eviction and collection together: 0 errors."""
    for name in ("IN_USE_S", "COUNT_EVERY_S_MAX"):
        monkeypatch.setattr(f"mirror.jobs.eviction.{name}", SHORT_S)
    async with Standin() as standin, aiohttp.ClientSession(auto_decompress=False) as session:
        upstream = fill_upstream(standin)
        async with (
            running(tmp_path, upstreams=[cached(standin)], cache={"cache_bytes_max": CACHE_BYTES_MAX}) as node,
            reached(tmp_path / ADMIN_SOCKET) as administrator,
        ):
            house: Any = node.node._house
            house.store.guard.grace_s = GRACE_S
            soak = Soak(Client(session, node.url), administrator, upstream, grace_s=GRACE_S)
            await soak.prepare()
            kinds = (*KINDS, Kind("evictions", partial(evict, house), pause_s=SHORT_S))
            await soak.run(kinds, SECONDS)
            await check_sums(house, soak)
            await soak.check()
            assert soak.faults == []
            assert all(soak.done[kind.name] for kind in kinds), soak.done
            assert min(soak.done["images evicted"], soak.done["blobs collected"]) > 0
    assert not [event for event in events if event["log_level"] in ("error", "critical")]
