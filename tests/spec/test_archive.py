"""Archived images of a whole node with a disk for them: refused, moved, served again at once, and brought back."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from accounts import ADMIN, Client, Town, populated
from archives import on
from command_line import asked
from pushing import ask, image_manifest, push_blob, put_manifest, sha256
from waiting import until

from mirror import telemetry
from mirror.node import probes
from mirror.oci.digest import parse_digest
from mirror.store.verify import Verification

NAME = "team/app"
GRACE_S = 0.5  # of a push in the test of everything at once: it takes some milliseconds
WORK_S = 2.5
WORKERS = 4
LAYERS = tuple(Random(number).randbytes(90_000) for number in range(3))
LAYER = Random(8).randbytes(300_000)


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The archive's disk, which the node looks at often."""
    monkeypatch.setattr("mirror.jobs.archive.LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(probes, "FOUND_HOLDS_S", 0.0)
    path = tmp_path / "disk"
    path.mkdir()
    return path


@asynccontextmanager
async def town_with(root: Path, disk: Path) -> AsyncIterator[Town]:
    async with populated(root, cache={"archive_root": str(disk)}) as town:
        yield town


async def push(client: Client) -> bytes:
    manifest = image_manifest(b'{"of": "us"}', [LAYER])
    for blob in (b'{"of": "us"}', LAYER):
        await push_blob(client, NAME, blob)
    status, _, body = await put_manifest(client, NAME, "v1", manifest)
    assert status == 201, body
    return manifest


async def turn(town: Town, target: str) -> None:
    asked_for = {"repositoryName": NAME, "imageId": {"imageTag": "v1"}, "targetStorageClass": target}
    status, answer = await town.call(ADMIN, "ecr", "UpdateImageStorageClass", **asked_for)
    assert status == 200, answer


async def pulled(client: Client) -> tuple[int, Any]:
    """Pull the image as clients do; return the status of the first answer that is not 200, or the layer."""
    for path in ("manifests/v1", f"blobs/{sha256(LAYER)}"):
        status, _, body = await ask(client, "GET", f"/v2/{NAME}/{path}")
        if status != 200:
            return status, None
    return 200, body


async def facts(root: Path) -> list[str]:
    """What `mirror status` says before its tables."""
    return (await asked(root / "store", "status")).stdout.split("\n\n")[0].splitlines()


async def until_moved(disk: Path, *, away: bool) -> None:
    """Wait until the layer is in the archive and nowhere else, or back and no more there."""
    name = sha256(LAYER).removeprefix("sha256:")

    async def look() -> bool:
        [ours] = (disk.parent / "store").glob(f"blobs/*/*/{name}")
        return ours.is_symlink() == away and set(on(disk).values()) == ({LAYER} if away else set())

    await until(look)


async def test_an_archived_image_moves_is_refused_and_is_pulled_as_soon_as_it_is_restored(
    tmp_path: Path, disk: Path
) -> None:
    """Issue 5, section 1: not pullable until restored; the bytes move to archive_root, and back behind the restore."""
    async with town_with(tmp_path, disk) as town:
        client = town.client(ADMIN)
        await push(client)
        await turn(town, "ARCHIVE")
        assert await pulled(client) == (404, None)
        await until_moved(disk, away=True)
        status = json.loads((await asked(tmp_path / "store", "status", "--json")).stdout)
        assert (status["archive"] > 0, status["archiveAway"]) == (True, False)
        shown = dict(line.split("\t")[:2] for line in (await facts(tmp_path)) if "\t" in line)
        assert " free of " in shown["archive"]
        await turn(town, "STANDARD")
        assert await pulled(client) == (200, LAYER)
        await until_moved(disk, away=False)
        assert await pulled(client) == (200, LAYER)
        found = await asked(tmp_path / "store", "verify")
        assert found.exit_code == 0, found.output


async def test_an_archived_image_is_restored_by_a_push(tmp_path: Path, disk: Path) -> None:
    """ECR.md 2.9: a push of the same image activates it at once."""
    async with town_with(tmp_path, disk) as town:
        client = town.client(ADMIN)
        manifest = await push(client)
        await turn(town, "ARCHIVE")
        await until_moved(disk, away=True)
        assert (await put_manifest(client, NAME, "v1", manifest))[0] == 201
        assert await pulled(client) == (200, LAYER)
        await until_moved(disk, away=False)


async def test_a_disk_that_is_away_is_a_warning_and_its_bytes_are_back_with_it(tmp_path: Path, disk: Path) -> None:
    """RELIABILITY section 4: the node serves on; what it cannot reach is 503, not 404, and never taken for lost."""
    async with town_with(tmp_path, disk) as town:
        client = town.client(ADMIN)
        await push(client)
        await turn(town, "ARCHIVE")
        await until_moved(disk, away=True)
    away = disk.rename(tmp_path / "away")
    async with town_with(tmp_path, disk) as town:
        client = town.client(ADMIN)
        status, _, body = await town.node.fetch("/readyz")
        assert (status, body.decode()) == (200, f"ok\narchive: {probes.AWAY}\n")
        await turn(town, "STANDARD")
        assert await pulled(client) == (503, None)
        assert (await ask(client, "HEAD", f"/v2/{NAME}/blobs/{sha256(LAYER)}"))[0] == 503
        _, _, metrics = await town.node.fetch("/metrics")
        assert b"mirror_archive_away 1.0" in metrics
        found = await asked(tmp_path / "store", "verify")
        assert found.exit_code == 0, found.output
        away.rename(disk)
        await until_moved(disk, away=False)
        assert await pulled(client) == (200, LAYER)
        assert (await town.node.fetch("/readyz"))[2] == b"ok\n"


async def check_pulled(client: Client, manifest: bytes, layers: list[bytes]) -> None:
    assert (await ask(client, "GET", f"/v2/{NAME}/manifests/{sha256(manifest)}"))[::2] == (200, manifest)
    for layer in layers:
        assert (await ask(client, "GET", f"/v2/{NAME}/blobs/{sha256(layer)}"))[::2] == (200, layer)


async def work(town: Town, worker: int, until_s: float) -> int:
    """Push, archive, restore and delete images whose layers others have too; return how many."""
    client, images, random, count = town.client(ADMIN), town.house.store.images, Random(worker), 0
    repository = town.repository(NAME)
    while time.monotonic() < until_s:
        count += 1
        config, layers = f'{{"of": "{worker}-{count}"}}'.encode(), random.sample(LAYERS, 2)
        for blob in (config, *layers):
            if (await ask(client, "HEAD", f"/v2/{NAME}/blobs/{sha256(blob)}"))[0] == 404:
                await push_blob(client, NAME, blob)
        manifest = image_manifest(config, layers)
        assert (await put_manifest(client, NAME, f"w{worker}", manifest))[0] == 201
        await check_pulled(client, manifest, layers)
        digest = parse_digest(sha256(manifest))
        await images.set_status(repository, digest, "ARCHIVED", time.time())
        await asyncio.sleep(random.random() * 0.3)
        assert (await ask(client, "GET", f"/v2/{NAME}/manifests/{digest}"))[0] == 404
        await images.set_status(repository, digest, "ACTIVE", time.time())
        await check_pulled(client, manifest, layers)
        assert (await ask(client, "DELETE", f"/v2/{NAME}/manifests/{digest}"))[0] == 202
        await asyncio.sleep(random.random() * 1.5 * GRACE_S)
    return count


async def collecting(town: Town, until_s: float) -> int:
    count = 0
    while time.monotonic() < until_s:
        count += (await town.house.collector.collect()).blobs
        await asyncio.sleep(0.01)
    return count


async def test_pushes_restores_deletes_collection_and_moves_at_once_lose_nothing(tmp_path: Path, disk: Path) -> None:
    """Issue 5, section 1; RELIABILITY G22: what is pushed or restored is pulled, wherever its bytes are just then."""

    def moved() -> float:
        return sum(telemetry.readings(telemetry.ARCHIVE_MOVED, "_total").values())

    before = moved()
    async with town_with(tmp_path, disk) as town:
        store = town.house.store
        store.guard.grace_s = GRACE_S
        await push(town.client(ADMIN))
        until_s = time.monotonic() + WORK_S
        collected, *done = await asyncio.gather(
            collecting(town, until_s), *(work(town, worker, until_s) for worker in range(WORKERS))
        )
        assert min(collected, *done) > 0
        assert moved() - before >= 2 * len(LAYERS[0]), "bytes were moved while all that went on"
        assert await pulled(town.client(ADMIN)) == (200, LAYER)
        assert [fault async for fault in Verification(store).faults() if not fault.harmless] == []
