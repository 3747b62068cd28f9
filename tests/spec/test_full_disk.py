"""A full disk: what is here is served, and what is not passes through.

RELIABILITY G12 and section 4, "Disk full"; issue 5, section 2.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest
from aiohttp import ClientError
from disks import MIB, SmallDisk, crowded, relieved, small_disk
from pulling import pull
from running import RunningNode, cached, running
from standin import Fault, Standin, sha256
from syncing import edge, rule

from mirror.registry import passages
from mirror.store.space import SPARE_BYTES

LAYER = Random(12).randbytes(2 * MIB)
BLOB = Random(13).randbytes(8 * MIB)
NAME = "library/app"


@asynccontextmanager
async def on_a_small_disk(tmp_path: Path) -> AsyncIterator[tuple[SmallDisk, RunningNode, Standin]]:
    """A node on a disk of its own, and its upstream."""
    with small_disk(tmp_path / "disk") as disk:
        async with Standin() as standin, running(disk.path / "store", upstreams=[cached(standin)]) as node:
            yield disk, node, standin


def partials(disk: SmallDisk) -> list[str]:
    return os.listdir(disk.path / "store/stage/fills")


async def test_an_image_that_is_not_here_passes_through_a_full_disk(tmp_path: Path) -> None:
    """RELIABILITY G12: misses pass through uncached, and are cached as soon as there is room."""
    async with on_a_small_disk(tmp_path) as (disk, node, standin):
        image = standin.add_image(NAME, "v1", layers=(LAYER,))
        crowded(node, disk)
        for reference in ("v1", image.digest):
            assert (await node.fetch(f"/v2/{NAME}/manifests/{reference}"))[2] == image.manifest
        for blob in (image.config, *image.layers):
            async with node.head(f"/v2/{NAME}/blobs/{blob}") as response:
                assert response.status == 200
            status, headers, body = await node.fetch(f"/v2/{NAME}/blobs/{blob}")
            assert (status, body, headers["Content-Length"]) == (200, standin.blobs[blob], str(len(body)))
        assert partials(disk) == []
        assert b'mirror_passed_bytes_total{upstream="docker.io"}' in (await node.fetch("/metrics"))[2]
        status, _, said = await node.fetch("/readyz")
        assert (status, said.splitlines()[0]) == (200, b"ok")
        assert b"disk: full; what is here is served" in said
        relieved(node, disk)
        await pull(node, image)
        standin.fault = Fault(status=500)
        await pull(node, image, image.digest)


async def test_what_is_here_is_served_from_a_full_disk(tmp_path: Path) -> None:
    """RELIABILITY G12: cached pulls all good."""
    async with on_a_small_disk(tmp_path) as (disk, node, standin):
        image = standin.add_image(NAME, "v1", layers=(LAYER,))
        await pull(node, image)
        crowded(node, disk)
        standin.fault = Fault(status=500)
        await pull(node, image)


async def test_a_new_meaning_of_a_tag_passes_a_full_disk(tmp_path: Path) -> None:
    """DESIGN walk 1: the client gets what the tag means now, whether the disk takes it or not."""
    with small_disk(tmp_path / "disk") as disk:
        async with Standin() as standin:
            rule = cached(standin, tag_fresh_s=0.0)
            async with running(disk.path / "store", upstreams=[rule]) as node:
                await pull(node, standin.add_image(NAME, "v1"))
                image = standin.add_image(NAME, "v1", seed="new")
                crowded(node, disk)
                assert (await node.fetch(f"/v2/{NAME}/manifests/v1"))[2] == image.manifest
                assert (await node.fetch(f"/v2/{NAME}/manifests/v1"))[2] == image.manifest
                assert standin.count("manifest", image.digest) == 1


async def test_ranges_pass_through_a_full_disk(tmp_path: Path) -> None:
    """RELIABILITY section 4, "Range on a miss": pass the range through uncached."""
    async with on_a_small_disk(tmp_path) as (disk, node, standin):
        path = f"/v2/{NAME}/blobs/{standin.add_blob(BLOB)}"
        crowded(node, disk)
        status, headers, body = await node.fetch(path, headers={"Range": "bytes=1000-4999"})
        assert (status, body) == (206, BLOB[1000:5000])
        assert headers["Content-Range"] == f"bytes 1000-4999/{len(BLOB)}"
        assert standin.sent_bytes["blob", sha256(BLOB)] == 4000
        _, _, several = await node.fetch(path, headers={"Range": "bytes=0-9,5000-5009"})
        assert BLOB[:10] in several
        assert BLOB[5000:5010] in several


async def test_wrong_bytes_are_cut_before_their_end(tmp_path: Path) -> None:
    """RELIABILITY G4: 0 complete responses with a wrong digest, stored or not."""
    async with on_a_small_disk(tmp_path) as (disk, node, standin):
        digest = standin.add_blob(BLOB)
        crowded(node, disk)
        standin.fault = Fault(on="blob", flip=len(BLOB) // 2)
        with pytest.raises(ClientError):
            await node.fetch(f"/v2/{NAME}/blobs/{digest}")


async def test_an_upstream_that_breaks_off_goes_on_where_it_was(tmp_path: Path) -> None:
    """RELIABILITY G7: the client sees one clean 200."""
    async with on_a_small_disk(tmp_path) as (disk, node, standin):
        digest = standin.add_blob(BLOB)
        crowded(node, disk)
        standin.fault = Fault(on="blob", method="GET", cut_after=3 * MIB, times=2)
        assert (await node.fetch(f"/v2/{NAME}/blobs/{digest}"))[2] == BLOB
        # What was on its way when the line was cut is asked for again; what had come is not.
        ranges = [one.headers.get("range", "bytes=0-") for one in standin.asked("blob", digest, "GET")]
        starts = [int(one.removeprefix("bytes=").partition("-")[0]) for one in ranges]
        assert len(starts) == 3
        assert starts == sorted(set(starts))


async def test_what_upstream_refuses_is_said_before_any_header(tmp_path: Path) -> None:
    """Invariant: 404 only when upstream said so; trouble is 502."""
    async with on_a_small_disk(tmp_path) as (disk, node, standin):
        digest = standin.add_blob(BLOB)
        crowded(node, disk)
        assert (await node.fetch(f"/v2/{NAME}/blobs/{sha256(b'nothing')}"))[0] == 404
        standin.fault = Fault(on="blob", method="GET", status=500)
        assert (await node.fetch(f"/v2/{NAME}/blobs/{digest}"))[0] == 502


async def test_there_is_a_limit_to_what_passes_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DESIGN section 5: every queue and buffer has a limit."""
    monkeypatch.setattr(passages, "PASSAGES_MAX", 1)
    async with on_a_small_disk(tmp_path) as (disk, node, standin):
        path = f"/v2/{NAME}/blobs/{standin.add_blob(BLOB)}"
        crowded(node, disk)
        standin.fault = Fault(on="blob", hang_after=MIB, times=1, method="GET")
        first = asyncio.create_task(node.fetch(path))
        await standin.stalled.wait()
        status, headers, _ = await node.fetch(path)
        assert (status, headers["Retry-After"]) == (503, "5")
        standin.resume()
        assert (await first)[2] == BLOB


async def test_readers_of_a_fill_that_meets_a_full_disk_see_no_cut(tmp_path: Path) -> None:
    """Issue 5, section 2: a full disk never breaks pulls; who follows a fill goes on from upstream where it stopped."""
    async with on_a_small_disk(tmp_path) as (disk, node, standin):
        digest = standin.add_blob(BLOB)
        path = f"/v2/{NAME}/blobs/{digest}"
        standin.fault = Fault(on="blob", hang_after=3 * MIB, times=1)
        late = {"Range": f"bytes={6 * MIB}-{7 * MIB - 1}"}
        readers = [asyncio.create_task(node.fetch(path, headers=more)) for more in ({}, {}, late)]
        await standin.stalled.wait()
        disk.fill(leaving=MIB)
        standin.resume()
        answers = await asyncio.gather(*readers)
        assert [(status, len(body)) for status, _, body in answers] == [(200, 8 * MIB), (200, 8 * MIB), (206, MIB)]
        assert [body for _, _, body in answers] == [BLOB, BLOB, BLOB[6 * MIB : 7 * MIB]]
        assert partials(disk) == []
        first, *rest = [seen.headers.get("range", "") for seen in standin.seen if seen.kind == "blob"]
        assert (first, len(rest)) == ("", 3)
        # What had come is not asked for again.
        assert all(int(asked.removeprefix("bytes=").partition("-")[0]) > 0 for asked in rest)


async def test_a_blob_that_does_not_fit_is_not_begun(tmp_path: Path) -> None:
    """RELIABILITY section 4, "Disk full": names must still find room when bytes do not."""
    async with on_a_small_disk(tmp_path) as (disk, node, standin):
        image = standin.add_image(NAME, "v1", layers=(BLOB, b"small"))
        crowded(node, disk, leaving=SPARE_BYTES + 4 * MIB)
        await pull(node, image)
        standin.fault = Fault(status=500)
        assert (await node.fetch(f"/v2/{NAME}/blobs/{sha256(b'small')}"))[2] == b"small"
        assert (await node.fetch(f"/v2/{NAME}/blobs/{sha256(BLOB)}"))[0] == 502
        assert partials(disk) == []


async def test_nothing_is_fetched_ahead_onto_a_full_disk(tmp_path: Path) -> None:
    """Issue 4, section 3: a run ends where the disk does, and spends no more of the upstream's budget."""
    with small_disk(tmp_path / "disk") as disk:
        async with Standin() as standin, edge(disk.path / "store", standin, rule()) as here:
            for number in range(5):
                standin.add_image(NAME, f"v{number}")
            crowded(here.node, disk)
            outcome = await here.run()
            assert outcome["failed"] == 1
            assert "no room left on the disk" in str(outcome)
            assert standin.count("manifest", method="GET") == 1
            relieved(here.node, disk)
