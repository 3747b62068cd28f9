"""Proof of replication, by real nodes: one away for long, both killed, a line that is cut, a chain of three.

The nodes are processes; bytes are compared at both ends, and counted at the end that takes them.
"""

import asyncio
import io
import json
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from link import Link
from namespaces import ADDRESSES, two_ends
from processes import Process, command, serving
from pushing import described, image_manifest, index_manifest, sha256
from sites import Site, lag_in, rules
from waiting import file_sizes, until

from mirror.oci.media import OCI_INDEX, OCI_MANIFEST

EAST: Final = "us-east-1"
WEST: Final = "us-west-2"
SLOW_S_MAX: Final = 300.0  # of a whole test on a busy machine; see each for what it takes on an idle one
ARRIVE_S_MAX: Final = 120.0


async def push_blob(session: aiohttp.ClientSession, url: str, name: str, data: bytes) -> None:
    path = f"{url}/v2/{name}/blobs/uploads/?digest={sha256(data)}"
    headers = {"Content-Type": "application/octet-stream"}
    async with session.post(path, data=io.BytesIO(data), headers=headers) as response:
        assert response.status == 201, await response.text()


async def push_manifest(
    session: aiohttp.ClientSession, url: str, name: str, reference: str, data: bytes, media_type: str = OCI_MANIFEST
) -> None:
    path = f"{url}/v2/{name}/manifests/{reference}"
    async with session.put(path, data=data, headers={"Content-Type": media_type}) as response:
        assert response.status == 201, await response.text()


async def get(session: aiohttp.ClientSession, url: str, accept: str = OCI_MANIFEST) -> tuple[int, bytes]:
    async with session.get(url, headers={"Accept": accept}) as response:
        return response.status, await response.read()


async def asked_of(node: Process) -> list[dict[str, Any]]:
    """Return the lines of a node's access log up to now."""
    mark = f"/v2/?mark={len(node.events)}"
    await node.fetch(mark)

    async def is_read() -> bool:
        return any(one.get("target") == mark for one in reversed(node.events))

    await until(is_read)
    return [one for one in node.events if one["event"] == "request"]


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


def manifest_puts(asked: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """Count the manifests that a node took, by digest."""
    taken = (one["target"] for one in asked if (one["method"], one["status"]) == ("PUT", 201))
    return Counter(target.partition("?")[0].rpartition("/")[2] for target in taken if "/manifests/" in target)


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
            assert manifest_puts(await asked_of(there)) == Counter(sha256(manifest) for manifest in pushed.values())


# Both are killed.

ROUNDS: Final = int(os.environ.get("MIRROR_KILL_ROUNDS", "1"))
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
IN_FLIGHT_BYTES_MAX: Final = 4 * 1024 * 1024  # in the buffers of two sockets when the line is cut


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


# A chain of three.

TYPES: Final = f"{OCI_MANIFEST}, {OCI_INDEX}"
SIGNATURE: Final = "application/vnd.example.signature+json"
READERS: Final = 5  # clients of the edge that want the same at the same moment
UPSTREAM: Final = "origin.test"
NAME: Final = "team/app"


@dataclass(frozen=True)
class Goods:
    """What the origin has, by what clients ask for: paths below the repository, and their bytes."""

    manifests: dict[str, bytes]
    blobs: dict[str, bytes]
    subject: str
    signature: str

    @property
    def all(self) -> dict[str, bytes]:
        return self.manifests | self.blobs


async def stock(session: aiohttp.ClientSession, url: str) -> Goods:
    """Push a list of two images, the list's signature, and all that they need."""
    blobs = [random.Random(size).randbytes(size) for size in (500, 300_000, 3_000_000)] + [b"{}", b'{"arm": 1}']
    for data in blobs:
        await push_blob(session, url, NAME, data)
    small, middle, large, config, other = blobs
    children = [image_manifest(config, [small, large]), image_manifest(other, [small, middle])]
    index = index_manifest(children)
    subject = described(index, OCI_INDEX)
    signature = image_manifest(config, [small], artifactType=SIGNATURE, subject=subject)
    for manifest in (*children, signature):
        await push_manifest(session, url, NAME, sha256(manifest), manifest)
    await push_manifest(session, url, NAME, "v1", index, OCI_INDEX)
    manifests = {f"manifests/{sha256(data)}": data for data in (*children, index, signature)} | {"manifests/v1": index}
    return Goods(manifests, {f"blobs/{sha256(data)}": data for data in blobs}, sha256(index), sha256(signature))


async def signatures(session: aiohttp.ClientSession, url: str, subject: str) -> list[str]:
    """Ask for the signatures of an image; return their digests."""
    status, body = await get(
        session, f"{url}/v2/{NAME}/referrers/{subject}?artifactType={SIGNATURE.replace('+', '%2B')}"
    )
    assert status == 200
    return [one["digest"] for one in json.loads(body)["manifests"]]


async def assert_heads(session: aiohttp.ClientSession, url: str, goods: Goods) -> None:
    """Ask for no more than the head of everything."""
    for path, data in goods.all.items():
        async with session.head(f"{url}/v2/{NAME}/{path}", headers={"Accept": TYPES}) as response:
            assert response.status == 200, path
            assert response.content_length == len(data), path
            assert response.headers["Docker-Content-Digest"] == sha256(data), path


async def assert_served(session: aiohttp.ClientSession, url: str, goods: Goods) -> None:
    """Pull everything, as several clients at once."""
    for path, data in goods.all.items():
        asked = (get(session, f"{url}/v2/{NAME}/{path}", TYPES) for _ in range(READERS))
        for answer in await asyncio.gather(*asked):
            assert answer == (200, data), path
    status, listed = await get(session, f"{url}/v2/{NAME}/tags/list")
    assert (status, json.loads(listed)["tags"]) == (200, ["v1"])
    assert await signatures(session, url, goods.subject) == [goods.signature]


async def blob_gets(node: Process) -> Counter[str]:
    """Count what was asked of a node's blobs, by path below the repository."""
    seen = (one["target"] for one in await asked_of(node) if one["method"] == "GET")
    return Counter(target.partition(f"{NAME}/")[2] for target in seen if "/blobs/" in target)


@pytest.mark.timeout(SLOW_S_MAX)
async def test_a_chain_of_three_nodes_serves_at_its_edge_what_its_origin_has(tmp_path: Path) -> None:
    """Issue 4, section 3, "Chains": blobs, tags, referrers and HEADs of cold content, each blob fetched once."""
    folders = [tmp_path / name for name in ("origin", "regional", "edge")]
    for folder in folders:
        folder.mkdir()
    always = "tag_fresh_s = 0"
    async with aiohttp.ClientSession() as session, serving(folders[0]) as origin:
        goods = await stock(session, origin.url)
        async with (
            serving(folders[1], upstreams={UPSTREAM: origin.url}, more=always) as regional,
            serving(folders[2], upstreams={UPSTREAM: regional.url}, more=always) as edge,
        ):
            await assert_heads(session, edge.url, goods)
            assert not await blob_gets(origin), "a HEAD fetched a blob"
            await assert_served(session, edge.url, goods)
            once = Counter(list(goods.blobs))
            assert (await blob_gets(origin), await blob_gets(regional)) == (once, once)
            # A tag that moves at the origin moves at the edge.
            moved = image_manifest(b"{}", [])
            await push_manifest(session, origin.url, NAME, "v1", moved)
            assert await get(session, f"{edge.url}/v2/{NAME}/manifests/v1") == (200, moved)
            kept = replace(goods, manifests=goods.manifests | {"manifests/v1": moved})
            for gone in (origin, regional):
                await gone.kill()
                await assert_served(session, edge.url, kept)
                await assert_heads(session, edge.url, kept)


# A long line.

DELAY_S: Final = 0.05  # one way: 100 ms there and back
LOSS: Final = 0.01
CUT_S: Final = 4.0
FAR_LAYER_BYTES: Final = 1_500_000


@asynccontextmanager
async def reached_at(path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    """A session with a node by its unix socket: those are the same in all network namespaces."""
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session:
        yield session


@pytest.mark.timeout(SLOW_S_MAX)
async def test_over_a_long_line_that_loses_packets_and_is_cut_everything_arrives(tmp_path: Path) -> None:
    """Issue 4, section 4: 100 ms, 1 % of packets lost each way, and no packet at all for seconds in mid-transfer."""
    async with two_ends(DELAY_S, LOSS) as line, AsyncExitStack() as stack:
        sites = []
        for region, address, end in zip((EAST, WEST), ADDRESSES, line.ends, strict=True):
            sites.append(
                Site(
                    tmp_path / region,
                    region,
                    f"{address}:5000",
                    also=[f"unix:{tmp_path / region}.sock"],
                    before=("ip", "netns", "exec", end),
                )
            )
        east, west = sites
        await stack.enter_async_context(west.up())
        await stack.enter_async_context(east.up(to=west))
        near = await stack.enter_async_context(reached_at(tmp_path / f"{EAST}.sock"))
        far = await stack.enter_async_context(reached_at(tmp_path / f"{WEST}.sock"))
        url = "http://node"
        await east.call_by(near, url, "PutReplicationConfiguration", replicationConfiguration=rules(WEST))
        pushed = {}
        for number in range(6):
            name, config = f"prod/app{number % 3}", json.dumps({"number": number}).encode()
            layer = random.Random(number).randbytes(FAR_LAYER_BYTES if number < 2 else 20_000)
            for data in (layer, config):
                await push_blob(near, url, name, data)
            pushed[name, f"v{number}"] = manifest = image_manifest(config, [layer])
            await push_manifest(near, url, name, f"v{number}", manifest)

        async def is_half_way() -> bool:
            staged = file_sizes(west.root / "store" / "stage" / "uploads")
            return any(FAR_LAYER_BYTES // 8 < size < FAR_LAYER_BYTES for size in staged)

        await until(is_half_way, ARRIVE_S_MAX)
        line.cut()
        before = line.passed
        await asyncio.sleep(CUT_S)
        assert line.passed == before
        line.mend()
        for (name, tag), manifest in pushed.items():

            async def is_there(path: str = f"{url}/v2/{name}/manifests/{tag}") -> bool:
                return (await get(far, path))[0] == 200

            await until(is_there, ARRIVE_S_MAX)
            assert await assert_whole(far, url, name, tag) == manifest
        assert line.lost > line.passed * LOSS / 4, "the line lost hardly a packet"

        async def is_done() -> bool:
            async with near.get(f"{url}/metrics") as response:
                return lag_in(await response.text(), WEST) == (0.0, 0.0)

        await until(is_done, ARRIVE_S_MAX)
