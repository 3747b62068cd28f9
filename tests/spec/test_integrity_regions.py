"""Bytes of our own that one region has lost come back from another one that has them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Final

import aiohttp
import pytest
from command_line import asked
from processes import Process
from pushing import image_manifest, sha256
from sites import Site
from waiting import until

from mirror.oci.media import OCI_MANIFEST

DATA: Final = Random(12).randbytes(300_000)
NAME: Final = "team/app"
PATH: Final = f"/v2/{NAME}/blobs/{sha256(DATA)}"
LARGE: Final = image_manifest(b"{}", [DATA], annotations={"filler": "x" * 100_000})  # no copy of it is in the index

pytestmark = pytest.mark.usefixtures("logging_of_its_own")


def file_of(site: Site, digest: str) -> Path:
    return site.root / "store" / "blobs" / "sha256" / digest[7:9] / digest[7:]


async def push(node: Process) -> None:
    """Push an image with one large layer, and a manifest that is large too."""
    async with aiohttp.ClientSession() as session:
        for data in (b"{}", DATA):
            url = f"{node.url}/v2/{NAME}/blobs/uploads/?digest={sha256(data)}"
            async with session.post(url, data=data) as response:
                assert response.status == 201, await response.text()
        headers = {"Content-Type": OCI_MANIFEST}
        async with session.put(f"{node.url}/v2/{NAME}/manifests/v1", data=LARGE, headers=headers) as response:
            assert response.status == 201, await response.text()


@asynccontextmanager
async def replicated(root: Path) -> AsyncIterator[tuple[Site, Site]]:
    """Two regions that both have the image: it was pushed in the first, and went to the second."""
    west, east = Site(root / "west", "us-west-2"), Site(root / "east", "us-east-1")
    async with west.up(), east.up(to=west):
        await east.replicate(west)
        await push(east.node)

        async def has_arrived() -> bool:
            return (await west.node.fetch(f"/v2/{NAME}/manifests/v1"))[0] == 200

        await until(has_arrived)
        yield east, west


async def comes_back(node: Process, path: str, data: bytes) -> None:
    """Wait until bytes are served again, and kept: a client has the last byte a moment before the store does."""

    async def is_back() -> bool:
        status, body = await node.fetch(path)
        assert status == 404 or (status, body) == (200, data)
        return status == 200 and b"\nmirror_fills_in_flight 0.0" in (await node.fetch("/metrics"))[1]

    await until(is_back)


@pytest.mark.timeout(120)
async def test_what_one_region_has_lost_comes_back_from_the_other(tmp_path: Path) -> None:
    """Issue section "Integrity": healed from a peer region that has it; by a pull that misses it, and by `verify`."""
    async with replicated(tmp_path) as (east, west):
        blob, manifest = file_of(east, sha256(DATA)), file_of(east, sha256(LARGE))
        await asyncio.to_thread(blob.unlink)
        assert (await east.node.fetch(PATH))[0] == 404, "there is no upstream to ask: the next pull has it"
        await comes_back(east.node, PATH, DATA)
        blob.write_bytes(DATA[::-1])
        manifest.write_bytes(LARGE[::-1])
        result = await asked(east.root / "store", "verify", "--repair")
        assert (result.exit_code, result.stderr.splitlines()[-1]) == (0, "2 faults repaired")
        assert (blob.read_bytes(), manifest.read_bytes()) == (DATA, LARGE)
        assert (await east.node.fetch(PATH))[1] == DATA
        assert (await east.node.fetch(f"/v2/{NAME}/manifests/v1"))[1] == LARGE
        for site in (east, west):
            file_of(site, sha256(DATA)).unlink()
        result = await asked(east.root / "store", "verify", "--repair")
        assert (result.exit_code, result.stderr.splitlines()[-1]) == (1, "1 fault, 0 repaired, 1 lost")
        assert (await east.node.fetch(PATH))[0] == 404
