"""A power cut at any moment, on a real filesystem: what was acknowledged is there, and nothing is half there.

The node pushes and fills on a disk that records its writes (tests/power_cut.py); each state that a cut may have left is
mounted, opened as a start opens it, and looked through. MIRROR_POWER_CUTS=200 tries as many states, and shows that the
test fails when the node leaves out any one of its promises to the disk.
"""

import asyncio
import json
import os
import random
import sys
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from power_cut import RecordedDisk, State, recorded
from processes import MIRROR, Process, write_config
from pushing import image_manifest, push_blob, put_manifest, sha256
from registries import HOME
from running import RunningNode
from sabotaged import PROMISES
from standin import Standin

from mirror.oci.digest import parse_digest
from mirror.oci.names import Repository
from mirror.store.store import Store
from mirror.store.verify import Verification

CUTS = int(os.environ.get("MIRROR_POWER_CUTS", "0"))
CUTS_QUICK = 6
PUSHERS, PULLERS = 4, 2
IMAGES = 60  # pushed at once with others
IMAGES_ALONE = 60  # then one by one: nobody else's fsync makes up for one that is left out
BLOBS_PULLED = 80
BLOB_BYTES = (1, 3_000, 70_000, 200_000)  # in the index, and in files
NAME = "team/app"
OURS = Repository(HOME, "", NAME)
SABOTAGED = (sys.executable, str(Path(__file__).parent.parent / "sabotaged.py"))


class Remote(RunningNode):
    """A node of another process."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url, self.session = url, session


@dataclass
class Work:
    """What clients do to a node, and what it promised them: tags with all that an image has, in their order."""

    disk: RecordedDisk
    node: Remote
    dice: random.Random
    promises: list[tuple[str, Sequence[bytes]]] = field(default_factory=list)

    async def push(self, worker: int, images: int, sizes: Sequence[int]) -> None:
        for number in range(images):
            parts = [self.dice.randbytes(self.dice.choice(sizes)), json.dumps([worker, number]).encode()]
            for data in parts:
                await push_blob(self.node, NAME, data)
            manifest = image_manifest(parts[1], [parts[0]])
            status, _, body = await put_manifest(self.node, NAME, f"w{worker}-{number}", manifest)
            assert status == 201, body
            self.promises.append((f"w{worker}-{number}", [*parts, manifest]))
            await asyncio.to_thread(self.disk.mark, len(self.promises))

    async def pull(self, digests: Sequence[str]) -> None:
        for digest in digests:
            assert (await self.node.fetch(f"/v2/docker.io/library/app/blobs/{digest}"))[0] == 200


async def worked(disk: RecordedDisk, config: Path, command: Sequence[str], standin: Standin) -> Work:
    """Let clients work with a node on the disk, and kill it."""
    dice = random.Random(5)
    cold = [standin.add_blob(dice.randbytes(dice.choice(BLOB_BYTES))) for _ in range(BLOBS_PULLED)]
    running = await asyncio.create_subprocess_exec(
        *command, "serve", "--config", str(config), stderr=asyncio.subprocess.PIPE
    )
    process = Process(running)
    async with asyncio.TaskGroup() as group, aiohttp.ClientSession() as session:
        group.create_task(process.read_log())
        await process.logged("serving")
        work = Work(disk, Remote(process.url, session), dice)
        async with asyncio.TaskGroup() as clients:
            for worker in range(PUSHERS):
                clients.create_task(work.push(worker, IMAGES // PUSHERS, BLOB_BYTES))
            for puller in range(PULLERS):
                clients.create_task(work.pull(cold[puller::PULLERS]))
        await work.push(PUSHERS, IMAGES_ALONE, BLOB_BYTES[:1])
        await process.kill()
    return work


async def faults_after(state: State, work: Work, events: list[Any]) -> list[str]:
    """Start on what a power cut left; say what was promised and is not there, and what is there and should not be."""
    events.clear()
    tasks: list[asyncio.Task[None]] = []

    def spawn(work: Coroutine[Any, Any, None], name: str) -> None:
        tasks.append(asyncio.ensure_future(work))

    with state.mounted() as root:
        async with Store.open(root / "store", spawn, home=HOME) as store:
            # A start follows recent entries to their files, and would hide what must not be.
            found = [f"{event['fault']} of {event['digest']}" for event in events if event["event"] == "blob lost"]
            found += [
                f"{fault.kind} of {fault.digest}" async for fault in Verification(store).faults() if not fault.harmless
            ]
            for tag, parts in work.promises[: state.marks]:
                kept = store.index.tag(OURS, tag)
                if kept is None or str(kept.digest) != sha256(parts[-1]):
                    found.append(f"tag {tag} is lost")
                for data in parts:
                    digest = parse_digest(sha256(data))
                    if not store.index.serves(OURS, digest) and store.index.member(OURS, digest) is None:
                        found.append(f"{digest} of {tag} is lost")
                    if await asyncio.to_thread(store.files.read, digest) != data:
                        found.append(f"the bytes of {digest} of {tag} are lost")
        await asyncio.gather(*tasks)
    return found


async def faults(tmp_path: Path, command: Sequence[str], cuts: int, events: list[Any]) -> list[str]:
    """Work, cut the power at many moments, and gather what was wrong after each."""
    async with Standin() as standin, recorded(tmp_path) as disk:
        config = write_config(tmp_path, listen=["127.0.0.1:0"], upstreams={"docker.io": standin.url})
        config.write_text(config.read_text().replace(str(tmp_path / "store"), str(disk.root / "store")))
        work = await worked(disk, config, command, standin)
    assert len(work.promises) == IMAGES + IMAGES_ALONE
    found = []
    for state in disk.states(cuts, random.Random(6)):
        found += [
            f"{state.left} left, {state.marks} promised: {fault}" for fault in await faults_after(state, work, events)
        ]
    return found


async def test_a_power_cut_loses_nothing_that_was_acknowledged(tmp_path: Path, events: list[Any]) -> None:
    """RELIABILITY G1 and G2: 0 acknowledged pushes lost, 0 index entries without a whole blob."""
    assert await faults(tmp_path, MIRROR, CUTS or CUTS_QUICK, events) == []


@pytest.mark.skipif(not CUTS, reason="MIRROR_POWER_CUTS is not set: it takes a quarter of a minute a promise")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("promise", PROMISES)
async def test_a_node_that_leaves_out_one_sync_is_found_out(promise: str, tmp_path: Path, events: list[Any]) -> None:
    """Issue 5, "Integrity": and the test fails when any fsync is taken out."""
    assert await faults(tmp_path, [*SABOTAGED, promise], CUTS, events)
