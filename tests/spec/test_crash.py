"""kill -9 at any moment: what was acknowledged is there, what was not is whole or absent, and work goes on."""

import asyncio
import io
import json
import random
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from processes import Process, command, serving
from standin import OCI_CONFIG, OCI_MANIFEST, Fault, Standin, sha256
from waiting import file_sizes

ROUNDS = 4
PUSHERS = 3
PULLERS = 3
ALIVE_S = (0.05, 0.5)  # how long a round works before it is killed
BLOB_BYTES = (1, 3_000, 70_000, 400_000)  # in the index, and in files
PULL_BYTES = 600_000
LARGE_BYTES = 24 * 1024 * 1024
WAIT_S_MAX = 20.0


@dataclass
class Pushed:
    """What the node has acknowledged, by path; `offered` is all that was ever sent."""

    acknowledged: dict[str, bytes] = field(default_factory=dict)
    offered: dict[str, bytes] = field(default_factory=dict)

    async def push(self, session: aiohttp.ClientSession, url: str, dice: random.Random) -> None:
        """Push an image of one layer: layer, config, manifest under a tag."""
        name = f"own/app{dice.randrange(3)}"
        parts = [dice.randbytes(dice.choice(BLOB_BYTES)), json.dumps({"mark": dice.random()}).encode()]
        for data in parts:
            path = f"/v2/{name}/blobs/{sha256(data)}"
            await self._send(session, "POST", f"{url}/v2/{name}/blobs/uploads/?digest={sha256(data)}", path, data)
        layer, config = parts
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": OCI_CONFIG, "digest": sha256(config), "size": len(config)},
            "layers": [{"mediaType": "application/x", "digest": sha256(layer), "size": len(layer)}],
        }
        data, path = json.dumps(manifest).encode(), f"/v2/{name}/manifests/t{dice.getrandbits(60)}"
        await self._send(session, "PUT", url + path, path, data)

    async def _send(self, session: aiohttp.ClientSession, method: str, url: str, path: str, data: bytes) -> None:
        self.offered[path] = data
        headers = {"Content-Type": OCI_MANIFEST if method == "PUT" else "application/octet-stream"}
        async with session.request(method, url, data=io.BytesIO(data), headers=headers) as response:
            assert response.status == 201, await response.text()
            self.acknowledged[path] = data


async def _work_until_killed(node: Process, pushed: Pushed, cold: list[str], dice: random.Random) -> None:
    """Push and pull from all sides, and end the node in the midst of it."""

    async def push(session: aiohttp.ClientSession) -> None:
        while True:
            await pushed.push(session, node.url, dice)

    async def pull(session: aiohttp.ClientSession) -> None:
        while True:
            digest = dice.choice(cold)
            async with session.get(f"{node.url}/v2/docker.io/library/app/blobs/{digest}") as response:
                assert response.status != 200 or sha256(await response.read()) == digest

    async with aiohttp.ClientSession() as session:
        work = [push(session) for _ in range(PUSHERS)] + [pull(session) for _ in range(PULLERS)]
        tasks = [asyncio.ensure_future(one) for one in work]
        await asyncio.sleep(dice.uniform(*ALIVE_S))
        await node.kill()
        ends = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), WAIT_S_MAX)
    assert all(isinstance(end, (aiohttp.ClientError, ConnectionError)) for end in ends), ends


async def _read_all(node: Process, paths: list[str]) -> dict[str, bytes | None]:
    """Return what the node serves at each path, None where it has nothing."""
    async with aiohttp.ClientSession(headers={"Accept": OCI_MANIFEST}) as session:
        found: dict[str, bytes | None] = {}
        for path in paths:
            async with session.get(node.url + path) as response:
                assert response.status in (200, 404), f"{path}: {response.status}"
                found[path] = await response.read() if response.status == 200 else None
        return found


async def _kept(node: Process, paths: list[str]) -> None:
    """Wait until blobs that were just pulled are in the store: a client has the last byte a moment before."""
    async with asyncio.timeout(WAIT_S_MAX):
        while b"\nmirror_fills_in_flight 0.0" not in (await node.fetch("/metrics"))[1]:
            await asyncio.sleep(0.01)
    await _read_all(node, paths)  # what is here, but not yet written to belong here, is written before the answer


async def test_what_was_acknowledged_survives_and_nothing_is_half_there(tmp_path: Path) -> None:
    """RELIABILITY G1 and G2: no acknowledged push lost, no index entry without its whole blob, in any round."""
    dice, pushed = random.Random(2), Pushed()
    async with Standin() as standin:
        cold = [standin.add_blob(dice.randbytes(PULL_BYTES)) for _ in range(40)]
        upstreams = {"docker.io": standin.url}
        standin.fault = Fault(on="blob", drip_bytes_s=8_000_000)
        for _ in range(ROUNDS):
            async with serving(tmp_path, upstreams=upstreams) as node:
                await _work_until_killed(node, pushed, cold, dice)
        standin.fault = None
        pulls = {f"/v2/docker.io/library/app/blobs/{digest}": standin.blobs[digest] for digest in cold}
        async with serving(tmp_path, upstreams=upstreams) as node:
            found = await _read_all(node, [*pushed.offered, *pulls])
            await _kept(node, list(pulls))
            node.signal(15)
            assert await node.ended() == 0
        assert len(pushed.acknowledged) > ROUNDS, "hardly anything was pushed: the test shows nothing"
        for path, data in (pushed.acknowledged | pulls).items():
            assert found[path] == data, f"{path} is lost"
        for path, data in pushed.offered.items():
            assert found[path] in (None, data), f"{path} is half there"

        config = ("--config", str(tmp_path / "mirror.toml"))
        code, said = await command("verify", *config)
        # Bytes that were published and never acknowledged are nobody's yet: harmless, and the only trace of a kill.
        assert all("file without entry" in line for line in said.splitlines() if line.startswith("sha256:")), said
        assert (code, "0 faults" in said) == (0, True), said
        code, said = await command("reindex", *config)
        assert code == 0, said
        standin.forget()
        async with serving(tmp_path, upstreams=upstreams) as node:
            assert await _read_all(node, list(found)) == found
        assert not standin.count("blob", method="GET"), "the new index has forgotten blobs"


async def test_a_fill_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    """FIELD test 14; RELIABILITY G7: stale staging blocks nobody, and hardly a byte is fetched twice."""
    async with Standin() as standin:
        blob = standin.add_blob(random.Random(3).randbytes(LARGE_BYTES))
        standin.fault = Fault(on="blob", method="GET", hang_after=LARGE_BYTES * 3 // 4, times=1)
        path = f"/v2/docker.io/library/app/blobs/{blob}"
        async with serving(tmp_path, upstreams={"docker.io": standin.url}) as node:
            pulling = asyncio.ensure_future(node.fetch(path))
            await asyncio.wait_for(standin.stalled.wait(), WAIT_S_MAX)
            await _staged(tmp_path / "store", LARGE_BYTES * 3 // 4)
            await node.kill()
            await asyncio.gather(pulling, return_exceptions=True)
        async with serving(tmp_path, upstreams={"docker.io": standin.url}) as node:
            assert await node.fetch(path) == (200, standin.blobs[blob])
        assert standin.asked("blob", blob, "GET")[-1].headers["range"].startswith("bytes=")
        assert standin.sent_bytes["blob", blob] <= 1.4 * LARGE_BYTES


async def _staged(root: Path, size: int) -> None:
    """Wait until a staged fill has `size` bytes on disk."""
    async with asyncio.timeout(WAIT_S_MAX):
        while not any(there >= size for there in file_sizes(root)):
            await asyncio.sleep(0.02)


async def test_an_upload_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    """RELIABILITY section 4, "Restart mid-upload": the offset comes from what is in the file."""
    data = random.Random(4).randbytes(1_500_000)
    half = len(data) // 2
    async with serving(tmp_path) as node, aiohttp.ClientSession() as session:
        async with session.post(f"{node.url}/v2/own/app/blobs/uploads/") as response:
            place = response.headers["Location"]
        async with session.patch(node.url + place, data=data[:half]) as response:
            assert response.status == 202
        await node.kill()
    async with serving(tmp_path) as node, aiohttp.ClientSession() as session:
        async with session.get(node.url + place) as response:
            assert (response.status, response.headers["Range"]) == (204, f"0-{half - 1}")
        async with session.put(f"{node.url}{place}?digest={sha256(data)}", data=data[half:]) as response:
            assert response.status == 201
        assert await node.fetch(f"/v2/own/app/blobs/{sha256(data)}") == (200, data)
