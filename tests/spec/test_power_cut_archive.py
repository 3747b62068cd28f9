"""A power cut while bytes move into the archive and back: they are whole in the one place or in the other.

On a real ext4 whose disk records its writes (tests/power_cut.py); store and archive are on the same one, for two disks
would have no common clock. MIRROR_POWER_CUTS=200 tries as many states, and leaves out the fsync of the bytes.
"""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from power_cut import State, recorded
from registries import HOME
from stores import OURS, push_layer

from mirror.jobs.archive import Archivist
from mirror.oci.digest import Digest
from mirror.registry.pacing import Clients
from mirror.store import archive
from mirror.store.store import Store
from mirror.store.verify import Verification

CUTS = int(os.environ.get("MIRROR_POWER_CUTS", "0"))
CUTS_QUICK = 6
IMAGES = 6
LAYER_BYTES = 150_000
ROUNDS = max(4, CUTS)  # of moving everything in or out, each a promise that a cut may come behind


@asynccontextmanager
async def opened(root: Path) -> AsyncIterator[Store]:
    tasks: list[asyncio.Task[None]] = []

    def spawn(work: Coroutine[Any, Any, None], name: str) -> None:
        tasks.append(asyncio.get_running_loop().create_task(work, name=name))

    async with Store.open(root / "store", spawn, home=HOME, archive_root=root / "cold") as store:
        yield store
    await asyncio.gather(*tasks)


async def faults_after(state: State, layers: dict[Digest, bytes]) -> list[str]:
    """Start on what a power cut left, look for the bytes, and let the job go on."""
    with state.mounted() as root:
        async with opened(root) as store:
            found = [f"{digest} is lost" for digest in layers if store.index.blob(digest) is None]
            await Archivist(store.archiving, Clients(), page_pause_s=0.0).work()
            for digest, data in layers.items():
                if await asyncio.to_thread(store.files.read, digest) != data:
                    found.append(f"the bytes of {digest} are lost")
            return found + [str(fault) async for fault in Verification(store).faults() if not fault.harmless]


async def faults(tmp_path: Path, cuts: int) -> list[str]:
    """Move bytes there and back, cut the power at many moments, and gather what was wrong after each."""
    dice = random.Random(5)
    async with recorded(tmp_path) as disk:
        (disk.root / "cold").mkdir()
        async with opened(disk.root) as store:
            job = Archivist(store.archiving, Clients(), page_pause_s=0.0)
            blobs = [dice.randbytes(LAYER_BYTES) for _ in range(IMAGES)]
            images = [await push_layer(store, OURS, data) for data in blobs]
            layers = {layer: data for (_, layer), data in zip(images, blobs, strict=True)}
            await asyncio.to_thread(disk.mark, 1)
            for number in range(ROUNDS):
                for image, _ in images:
                    await store.images.set_status(OURS, image, "ACTIVE" if number % 2 else "ARCHIVED", float(number))
                moved = await job.work()
                assert moved.put + moved.brought == IMAGES * LAYER_BYTES
                await asyncio.to_thread(disk.mark, 2 + number)
    found = []
    for state in disk.states(cuts, random.Random(6)):
        found += [f"{state.left} left, round {state.marks}: {fault}" for fault in await faults_after(state, layers)]
    return found


async def test_a_power_cut_while_bytes_move_loses_none(tmp_path: Path) -> None:
    """RELIABILITY G1: 0 acknowledged pushes lost."""
    assert await faults(tmp_path, CUTS or CUTS_QUICK) == []


@pytest.mark.skipif(not CUTS, reason="MIRROR_POWER_CUTS is not set")
@pytest.mark.timeout(600)
async def test_a_move_that_does_not_sync_the_bytes_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 5, "Integrity": and the test fails when any fsync is taken out."""
    monkeypatch.setattr(archive, "sync_file", lambda _: None)
    assert await faults(tmp_path, CUTS)
