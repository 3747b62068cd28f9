"""Proof of replication, by real nodes: one away for long, both killed, a line that is cut, a chain of three.

The nodes are processes; bytes are compared at both ends, and counted at the end that takes them.
"""

import asyncio
import io
import json
import os
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp
import pytest
from link import Link
from processes import Process, command
from pushing import image_manifest, sha256
from sites import Site
from waiting import until

from mirror.oci.media import OCI_MANIFEST

EAST: Final = "us-east-1"
WEST: Final = "us-west-2"
SLOW_S_MAX: Final = 300.0  # of a whole test on a busy machine; see each for what it takes on an idle one
ARRIVE_S_MAX: Final = 120.0


async def push_blob(session: aiohttp.ClientSession, url: str, name: str, data: bytes) -> None:
    path = f"{url}/v2/{name}/blobs/uploads/?digest={sha256(data)}"
    headers = {"Content-Type": "application/octet-stream"}
    async with session.post(path, data=io.BytesIO(data), headers=headers) as response:
        assert response.status == 201, await response.text()


async def push_manifest(session: aiohttp.ClientSession, url: str, name: str, reference: str, data: bytes) -> None:
    path = f"{url}/v2/{name}/manifests/{reference}"
    async with session.put(path, data=data, headers={"Content-Type": OCI_MANIFEST}) as response:
        assert response.status == 201, await response.text()


async def get(session: aiohttp.ClientSession, url: str) -> tuple[int, bytes]:
    async with session.get(url, headers={"Accept": OCI_MANIFEST}) as response:
        return response.status, await response.read()


# A region that is away.

IMAGES: Final = 1_000
REPOSITORIES: Final = 8
PUSHERS: Final = 8


async def push_thousand(url: str) -> dict[tuple[str, str], bytes]:
    """Push small images that share a layer, into a few repositories; return the manifests by name and tag."""
    layer, pushed = b"shared" * 1_000, dict[tuple[str, str], bytes]()

    async def push(session: aiohttp.ClientSession, number: int) -> None:
        name = f"prod/app{number}"
        await push_blob(session, url, name, layer)
        for image in range(number, IMAGES, REPOSITORIES):
            config = json.dumps({"number": image}).encode()
            manifest = image_manifest(config, [layer])
            await push_blob(session, url, name, config)
            await push_manifest(session, url, name, f"v{image}", manifest)
            pushed[name, f"v{image}"] = manifest

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(push(session, number) for number in range(REPOSITORIES)))
    return pushed


def manifest_puts(node: Process) -> Counter[str]:
    """Count the manifests that a node took, by digest, out of its access log."""
    targets = (
        one["target"]
        for one in node.events
        if one["event"] == "request" and (one["method"], one["status"]) == ("PUT", 201)
    )
    return Counter(target.partition("?")[0].rpartition("/")[2] for target in targets if "/manifests/" in target)


@pytest.mark.timeout(SLOW_S_MAX)
async def test_a_region_that_was_away_for_a_thousand_pushes_gets_each_image_once(tmp_path: Path) -> None:
    """Issue 4, section 4: down for 1,000 pushes, then back: each image arrives once, the lag returns to zero."""
    west, east = Site(tmp_path / "west", WEST), Site(tmp_path / "east", EAST)
    async with west.up():
        pass
    async with east.up(to=west) as here:
        await east.replicate(west)
        pushed = await push_thousand(here.url)
        assert len(pushed) == IMAGES

        async def all_wait() -> bool:
            return (await east.lag(west))[0] == IMAGES

        await until(all_wait, ARRIVE_S_MAX)
        assert (await east.lag(west))[1] > 0
        async with west.up() as there:
            await until(lambda: east.is_done(west), ARRIVE_S_MAX)
            async with aiohttp.ClientSession() as session:
                for (name, tag), manifest in pushed.items():
                    assert await get(session, f"{there.url}/v2/{name}/manifests/{tag}") == (200, manifest)
            assert manifest_puts(there) == Counter(sha256(manifest) for manifest in pushed.values())


# Both are killed.

ROUNDS: Final = int(os.environ.get("MIRROR_KILL_ROUNDS", "3"))
ALIVE_S: Final = (0.2, 1.5)  # how long both work before one of them is killed
BLOB_BYTES: Final = (10, 70_000, 400_000, 4_000_000)  # in the index, in files, and long on the way
NAMES: Final = ("own/app0", "own/app1", "own/app2")


@dataclass
class Images:
    """What the source was sent. `manifests` are those that it acknowledged, by name and tag."""

    dice: random.Random
    manifests: dict[tuple[str, str], bytes] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)

    async def push(self, session: aiohttp.ClientSession, url: str) -> None:
        """Push an image of one layer, which now and then is one that other images have too."""
        name, tag = self.dice.choice(NAMES), f"t{self.dice.getrandbits(60)}"
        layer = self.dice.randbytes(self.dice.choice(BLOB_BYTES))
        if self.blobs and self.dice.random() < 0.3:
            layer = self.dice.choice(list(self.blobs.values()))
        config = json.dumps({"mark": self.dice.random()}).encode()
        for data in (layer, config):
            self.blobs[sha256(data)] = data
            await push_blob(session, url, name, data)
        manifest = image_manifest(config, [layer])
        await push_manifest(session, url, name, tag, manifest)
        self.manifests[name, tag] = manifest


async def assert_whole(session: aiohttp.ClientSession, url: str, name: str, tag: str) -> bytes:
    """Pull an image as clients do, every byte of it; return its manifest."""
    status, manifest = await get(session, f"{url}/v2/{name}/manifests/{tag}")
    assert status == 200, f"{name}:{tag} is listed and does not resolve: {status}"
    body = json.loads(manifest)
    for one in (body["config"], *body["layers"]):
        status, data = await get(session, f"{url}/v2/{name}/blobs/{one['digest']}")
        assert (status, len(data), sha256(data)) == (200, one["size"], one["digest"]), f"{name}:{tag} is half there"
    return manifest


async def watch(session: aiohttp.ClientSession, url: str, seen: set[tuple[str, str]]) -> None:
    """Pull for ever each image as soon as its tag is there."""
    while True:
        for name in NAMES:
            status, listed = await get(session, f"{url}/v2/{name}/tags/list")
            assert status in (200, 404)
            tags = json.loads(listed)["tags"] if status == 200 else []
            for tag in tags:
                if (name, tag) not in seen:
                    await assert_whole(session, url, name, tag)
                    seen.add((name, tag))


async def work_until(
    victim: Process, here: Process, there: Process, images: Images, seen: set[tuple[str, str]]
) -> None:
    """Push here and pull there, and kill one of them in the midst of it."""

    async def push(session: aiohttp.ClientSession) -> None:
        while True:
            await images.push(session, here.url)

    async with aiohttp.ClientSession() as session:
        work = (push(session), push(session), watch(session, there.url, seen))
        tasks = [asyncio.ensure_future(one) for one in work]
        await asyncio.sleep(images.dice.uniform(*ALIVE_S))
        await victim.kill()
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    fine = (aiohttp.ClientError, ConnectionError, asyncio.CancelledError)
    assert all(isinstance(end, fine) for end in ends), ends


@pytest.mark.timeout(SLOW_S_MAX + 30.0 * ROUNDS)
async def test_kills_at_both_ends_lose_nothing_and_show_no_half_image(tmp_path: Path) -> None:
    """Issue 4, section 4: kill -9 of source and destination at random; MIRROR_KILL_ROUNDS says how many rounds."""
    images, seen = Images(random.Random(5)), set[tuple[str, str]]()
    west, east = Site(tmp_path / "west", WEST), Site(tmp_path / "east", EAST)
    async with west.up(), east.up(to=west):
        await east.replicate(west)
    for _ in range(ROUNDS):
        first, other = images.dice.sample([east, west], 2)
        async with first.up(to=_other(first, east, west)):
            # One is killed twice while its peer goes on, which is killed at the end of the round.
            for _ in range(2):
                async with other.up(to=_other(other, east, west)):
                    await work_until(other.node, east.node, west.node, images, seen)
    await assert_same(east, west, images)


def _other(site: Site, east: Site, west: Site) -> Site | None:
    return west if site is east else None


async def assert_same(east: Site, west: Site, images: Images) -> None:
    """Let both work in peace: all that was acknowledged arrives, whole, and neither store has a fault."""
    async with west.up() as there, east.up(to=west) as here, aiohttp.ClientSession() as session:

        async def is_there(name: str, tag: str) -> bool:
            return (await get(session, f"{there.url}/v2/{name}/manifests/{tag}"))[0] == 200

        for (name, tag), manifest in images.manifests.items():
            await until(lambda name=name, tag=tag: is_there(name, tag), ARRIVE_S_MAX)  # type: ignore[misc]
            assert await assert_whole(session, there.url, name, tag) == manifest
        await until(lambda: east.is_done(west), ARRIVE_S_MAX)
        assert len(images.manifests) > ROUNDS, "hardly anything was pushed: the test shows nothing"
        for node in (here, there):
            node.signal(15)
            assert await node.ended() == 0
    for site in (east, west):
        code, said = await command("verify", "--config", str(site.root / "mirror.toml"))
        # Bytes that were published and never acknowledged are nobody's yet: harmless, and the only trace of a kill.
        assert all("file without entry" in line for line in said.splitlines() if line.startswith("sha256:")), said
        assert (code, "0 faults" in said) == (0, True), said


# A line that is cut.

LARGE_BYTES: Final = 24 * 1024 * 1024
IN_FLIGHT_BYTES_MAX: Final = 8 * 1024 * 1024  # in the buffers of two sockets when the line is cut


async def push_large(session: aiohttp.ClientSession, url: str, name: str, size: int) -> tuple[bytes, bytes]:
    """Push an image of one large layer; return its manifest and the layer."""
    layer, config = random.Random(6).randbytes(size), b"{}"
    for data in (layer, config):
        await push_blob(session, url, name, data)
    manifest = image_manifest(config, [layer])
    await push_manifest(session, url, name, "large", manifest)
    return manifest, layer


@pytest.mark.timeout(SLOW_S_MAX)
@pytest.mark.parametrize("is_down_after", [False, True], ids=["for a moment", "until orders are put off"])
async def test_a_cut_at_half_of_a_large_layer_is_resumed_at_the_byte(tmp_path: Path, *, is_down_after: bool) -> None:
    """Issue 4, section 4: what arrived before the cut is not sent again, however long the line is cut."""
    west, east = Site(tmp_path / "west", WEST), Site(tmp_path / "east", EAST)
    async with west.up() as there, Link(there.port, cut_at=LARGE_BYTES // 2) as link:
        async with east.up(to=west, by=link.url) as here, aiohttp.ClientSession() as session:
            await east.replicate(west)
            manifest, layer = await push_large(session, here.url, "prod/web", LARGE_BYTES)
            await asyncio.wait_for(link.was_cut.wait(), ARRIVE_S_MAX)
            if is_down_after:
                link.is_down = True
                await here.logged("replication put off")
                link.is_down = False

            async def arrived() -> bool:
                return (await get(session, f"{there.url}/v2/prod/web/manifests/large"))[0] == 200

            await until(arrived, ARRIVE_S_MAX)
            assert await assert_whole(session, there.url, "prod/web", "large") == manifest
        first, *others = [one for one in link.patches if one.body_bytes > len(b"{}")]
        assert first.span == f"0-{LARGE_BYTES - 1}"
        assert first.body_bytes < LARGE_BYTES
        begins = [int(one.span.partition("-")[0]) for one in others]
        assert begins and min(begins) >= first.body_bytes - IN_FLIGHT_BYTES_MAX > 0, [first, *others]
        assert sum(one.body_bytes for one in link.patches) <= LARGE_BYTES + len(b"{}") + IN_FLIGHT_BYTES_MAX
        # To the byte: each goes on where the one before it had come to, as far as the other end had taken it.
        assert begins[-1] + others[-1].body_bytes == len(layer)
