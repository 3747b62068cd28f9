"""Pushes to a full disk: refused in time and in words, resumed when there is room; and clean-up that makes the room.

RELIABILITY G12 and section 4, "Disk full"; issue 5, section 2.
"""

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

from accounts import ADMIN, populated
from disks import MIB, SmallDisk, crowded, relieved, small_disk
from pushing import ask, code_of, image_manifest, push_image, put_manifest, sha256
from running import RunningNode, running

from mirror.store.reserve import RESERVE_BYTES
from mirror.store.verify import Verification

NAME = "team/app"
UPLOADS = f"/v2/{NAME}/blobs/uploads/"
SIZES = 24  # of what the disk has left, in steps of two blocks
BLOB = Random(14).randbytes(4 * MIB)


@asynccontextmanager
async def on_a_small_disk(tmp_path: Path) -> AsyncIterator[tuple[SmallDisk, RunningNode]]:
    with small_disk(tmp_path / "disk") as disk:
        async with running(disk.path / "store") as node:
            yield disk, node


async def collect(node: RunningNode) -> int:
    """Collect what nothing names, without a grace time; return how many blobs went."""
    house = node.node._house
    assert house is not None
    house.store.guard.grace_s = 0.0
    return (await house.collector.collect()).blobs


async def test_what_cannot_fit_is_refused_before_its_body_is_sent(tmp_path: Path) -> None:
    """RFC 9110 section 10.1.1: who expects 100 (Continue) is told before; issue 5: pushes get 507."""
    async with on_a_small_disk(tmp_path) as (disk, node):
        crowded(node, disk, leaving=20 * MIB)
        head = f"POST {UPLOADS}?digest={sha256(b'x')} HTTP/1.1\r\nHost: node\r\nContent-Length: {30 * MIB}\r\n"
        said = await node.raw(f"{head}Expect: 100-continue\r\n\r\n".encode(), until_close=False)
        assert said.startswith(b"HTTP/1.1 507 ")
        assert b"no room left on the disk of this registry: 31457280 bytes are asked for" in said
        await node.push_blob(NAME, b"small", sha256(b"small"))


async def test_an_upload_that_met_a_full_disk_goes_on_when_there_is_room(tmp_path: Path) -> None:
    """RELIABILITY section 4: nothing that was taken is lost, and the client asks where to go on."""
    async with on_a_small_disk(tmp_path) as (disk, node):
        session = (await ask(node, "POST", UPLOADS))[1]["Location"]
        assert (await ask(node, "PATCH", session, data=io.BytesIO(BLOB[:MIB])))[0] == 202
        crowded(node, disk)
        status, _, body = await ask(node, "PATCH", session, data=io.BytesIO(BLOB[MIB:]))
        assert (status, code_of(body)) == (507, "UNAVAILABLE")
        relieved(node, disk)
        status, headers, _ = await ask(node, "GET", session)
        assert (status, headers["Range"]) == (204, f"0-{MIB - 1}")
        assert (await ask(node, "PATCH", session, data=io.BytesIO(BLOB[MIB:])))[0] == 202
        assert (await ask(node, "PUT", f"{session}?digest={sha256(BLOB)}"))[0] == 201
        assert (await ask(node, "GET", f"/v2/{NAME}/blobs/{sha256(BLOB)}"))[2] == BLOB


async def test_a_body_of_no_known_length_is_taken_as_far_as_it_goes(tmp_path: Path) -> None:
    """RELIABILITY G12: 507, not 500, where the disk says no in mid-body; what came before it stays."""

    async def body() -> AsyncIterator[bytes]:
        for at in range(0, 20 * MIB, MIB):
            yield BLOB[at % len(BLOB) :][:MIB]

    async with on_a_small_disk(tmp_path) as (disk, node):
        session = (await ask(node, "POST", UPLOADS))[1]["Location"]
        crowded(node, disk, leaving=18 * MIB)
        status, _, said = await ask(node, "PATCH", session, data=body())
        assert (status, code_of(said)) == (507, "UNAVAILABLE")
        status, headers, _ = await ask(node, "GET", session)
        assert int(headers["Range"].removeprefix("0-")) > 10 * MIB


async def test_an_image_is_refused_whole_and_taken_whole_later(tmp_path: Path) -> None:
    """RELIABILITY G12: 0 corrupt; recovers without restart."""
    async with on_a_small_disk(tmp_path) as (disk, node):
        image = await push_image(node, NAME, "v1")
        crowded(node, disk)
        later = image.manifest.replace(b"schemaVersion", b"schemaVersion", 1) + b"\n"
        status, _, body = await put_manifest(node, NAME, "v2", later)
        assert (status, code_of(body)) == (507, "UNAVAILABLE")
        assert (await ask(node, "GET", f"/v2/{NAME}/manifests/v2"))[0] == 404
        assert (await ask(node, "GET", f"/v2/{NAME}/manifests/v1"))[2] == image.manifest
        relieved(node, disk)
        assert (await put_manifest(node, NAME, "v2", later))[0] == 201
        assert (await ask(node, "GET", f"/v2/{NAME}/manifests/v2"))[2] == later


async def test_the_api_says_so_in_its_own_words(tmp_path: Path) -> None:
    """Issue 5, section 2: pushes get 507. ServerException is the one that the operation's model has for it."""
    with small_disk(tmp_path / "disk") as disk:
        async with populated(disk.path) as town:
            await town.call(ADMIN, "ecr", "CreateRepository", repositoryName=NAME)
            _, begun = await town.call(ADMIN, "ecr", "InitiateLayerUpload", repositoryName=NAME)
            part = {"partFirstByte": 0, "partLastByte": 9, "layerPartBlob": base64.b64encode(bytes(10)).decode()}
            crowded(town.node, disk)
            status, answer = await town.call(
                ADMIN, "ecr", "UploadLayerPart", repositoryName=NAME, uploadId=begun["uploadId"], **part
            )
            assert (status, answer["__type"]) == (507, "ServerException")
            assert "no room left on the disk of this registry" in answer["message"]


async def test_deleting_and_collecting_make_room_on_a_full_disk(tmp_path: Path) -> None:
    """RELIABILITY finding 8: keep a reserve to give back, or clean-up cannot run when it is needed most."""
    async with on_a_small_disk(tmp_path) as (disk, node):
        reserve = disk.path / "store" / "reserve"
        assert reserve.stat().st_blocks * 512 == RESERVE_BYTES
        status, _, _ = await ask(node, "POST", f"{UPLOADS}?digest={sha256(BLOB)}", data=io.BytesIO(BLOB))
        assert status == 201
        images = [await push_image(node, NAME, f"v{number}") for number in range(30)]
        assert (await ask(node, "DELETE", f"/v2/{NAME}/blobs/{sha256(BLOB)}"))[0] == 202
        crowded(node, disk)
        for image in images[1:]:
            assert (await ask(node, "DELETE", f"/v2/{NAME}/manifests/{image.digest}"))[0] == 202
        assert not reserve.exists()
        # What was given up is for clean-up alone.
        status, _, body = await put_manifest(node, NAME, "again", images[0].manifest)
        assert (status, json.loads(body)["errors"][0]["message"]) == (
            507,
            "no room left on the disk of this registry: what is left is for clean-up",
        )
        assert await collect(node) == 1 + 3 * 29
        assert disk.free > len(BLOB)
        assert (await ask(node, "GET", f"/v2/{NAME}/manifests/v0"))[2] == images[0].manifest


async def test_the_reserve_is_made_again_and_pushes_go_on_without_a_restart(tmp_path: Path) -> None:
    """RELIABILITY G12: recovers without restart."""
    async with on_a_small_disk(tmp_path) as (disk, node):
        images = [await push_image(node, NAME, f"v{number}") for number in range(30)]
        crowded(node, disk)
        for image in images:
            await ask(node, "DELETE", f"/v2/{NAME}/manifests/{image.digest}")
        relieved(node, disk)
        house = node.node._house
        assert house is not None
        assert house.store.reserve.spent
        assert await asyncio.to_thread(house.store.reserve.make)
        await push_image(node, NAME, "v1")
        assert (disk.path / "store" / "reserve").stat().st_size == RESERVE_BYTES


async def test_a_node_starts_on_a_full_disk_and_serves_what_it_has(tmp_path: Path) -> None:
    """RELIABILITY G12: what is here is served; a start must not need room."""
    with small_disk(tmp_path / "disk") as disk:
        async with running(disk.path / "store") as node:
            image = await push_image(node, NAME, "v1")
        disk.fill()
        async with running(disk.path / "store") as node:
            assert (await ask(node, "GET", f"/v2/{NAME}/manifests/v1"))[2] == image.manifest
            assert (await ask(node, "GET", f"/v2/{NAME}/blobs/{sha256(image.layer)}"))[2] == image.layer
            assert (await ask(node, "DELETE", f"/v2/{NAME}/manifests/{image.digest}"))[0] == 202


async def test_a_disk_that_fills_up_at_any_write_costs_nothing_that_was_taken(tmp_path: Path) -> None:
    """RELIABILITY G12: 0 corrupt, 507 or 503 and never 500, recovers without restart."""
    async with on_a_small_disk(tmp_path) as (disk, node):
        house = node.node._house
        assert house is not None
        store = house.store
        store.space._spare_bytes = 0  # let pushes come to the last block
        taken, statuses = [], set()
        for number in range(SIZES):
            layer = Random(number).randbytes(100_000)
            manifest = image_manifest(b"{}", [layer])
            crowded(node, disk, leaving=number * 8192)
            for blob in (b"{}", layer):
                path = f"{UPLOADS}?digest={sha256(blob)}"
                statuses.add((await ask(node, "POST", path, data=blob))[0])
            status = (await put_manifest(node, NAME, f"v{number}", manifest))[0]
            statuses.add(status)
            if status == 201:
                taken.append((f"v{number}", manifest, layer))
            relieved(node, disk)
        assert {201, 507} <= statuses <= {201, 404, 503, 507}
        assert 0 < len(taken) < SIZES
        for tag, manifest, layer in taken:
            assert (await ask(node, "GET", f"/v2/{NAME}/manifests/{tag}"))[2] == manifest
            assert (await ask(node, "GET", f"/v2/{NAME}/blobs/{sha256(layer)}"))[2] == layer
        # A file without an entry is harmless, and the walk of blobs finds it.
        assert {fault.kind async for fault in Verification(store).faults()} <= {"file without entry"}
        await push_image(node, NAME, "last")
