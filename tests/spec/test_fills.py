"""Cold blobs: one fill, many readers, and nothing wrong ever completed (issue section 4; FIELD "Tests to copy")."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest
from pulling import settled
from running import RunningNode, cached, running
from standin import Fault, Image, Standin

from mirror.registry.fill import TAIL_BYTES

KIB, MIB = 1024, 1024 * 1024
DATA = Random(1).randbytes(4 * MIB)
CUT_ERRORS = (aiohttp.ClientPayloadError, aiohttp.ClientConnectionError)


@asynccontextmanager
async def cold(tmp_path: Path, data: bytes = DATA) -> AsyncIterator[tuple[RunningNode, Standin, str, str]]:
    """A node that knows an image's manifest but not its layer: node, upstream, the layer's digest and path."""
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1", [data])
        async with running(tmp_path, upstreams=[cached(standin)]) as node:
            await node.fetch("/v2/library/app/manifests/v1")
            yield node, standin, image.layers[0], blob_path(image)


def blob_path(image: Image) -> str:
    return f"/v2/{image.name}/blobs/{image.layers[0]}"


async def read_part(node: RunningNode, path: str, **options: Any) -> bytes:
    """Read until the node breaks off or ends."""
    got = b""
    async with node.get(path, **options) as response:
        try:
            async for chunk in response.content.iter_any():
                got += chunk
        except CUT_ERRORS:
            pass
    return got


def kept(tmp_path: Path, digest: str) -> bool:
    return any(path.name == digest[7:] for path in (tmp_path / "blobs").rglob("*"))


async def test_a_hundred_clients_of_a_cold_blob_cost_one_get_and_all_have_first_bytes_while_it_drips(
    tmp_path: Path,
) -> None:
    """FIELD "Tests to copy", 1; headers go out as soon as upstream's do."""
    async with cold(tmp_path) as (node, standin, digest, path):
        standin.fault = Fault(on="blob", hang_after=64 * KIB)
        first_bytes = asyncio.Barrier(101)

        async def client() -> bytes:
            async with aiohttp.ClientSession() as session, session.get(node.url + path) as response:
                assert response.headers["Content-Length"] == str(len(DATA))
                first = await response.content.readany()
                await first_bytes.wait()
                return first + await response.content.read()

        clients = [asyncio.create_task(client()) for _ in range(100)]
        await asyncio.wait_for(first_bytes.wait(), 10)
        assert standin.sent_bytes["blob", digest] == 64 * KIB
        standin.resume()
        assert set(await asyncio.gather(*clients)) == {DATA}
        assert standin.count("blob", digest) == 1


async def test_a_first_client_that_leaves_stops_nothing(tmp_path: Path) -> None:
    """FIELD "Tests to copy", 2: killed at 10 %, the others finish and the blob is stored."""
    async with cold(tmp_path) as (node, standin, digest, path):
        standin.fault = Fault(on="blob", hang_after=len(DATA) // 10)
        async with node.get(path) as first:
            await first.content.readany()
            other = asyncio.create_task(node.fetch(path))
            await standin.stalled.wait()
            first.close()
        standin.resume()
        assert (await other)[2] == DATA
        assert standin.count("blob", digest) == 1
        await standin.stop()
        assert (await node.fetch(path))[2] == DATA


async def test_a_blob_is_stored_although_all_its_clients_left(tmp_path: Path) -> None:
    """Issue section 4: readers leaving stop nothing."""
    async with cold(tmp_path) as (node, standin, digest, path):
        standin.fault = Fault(on="blob", hang_after=len(DATA) // 2)
        async with node.get(path) as only:
            await only.content.readany()
            only.close()
        await standin.stalled.wait()
        standin.resume()
        assert (await node.fetch(path))[2] == DATA
        assert standin.count("blob", digest) == 1


async def test_a_reader_that_does_not_read_holds_nobody(tmp_path: Path) -> None:
    """FIELD "Tests to copy", 3; CLIENTS quirk 7."""
    large = Random(3).randbytes(24 * MIB)  # more than the sockets' buffers take
    async with cold(tmp_path, large) as (node, _, digest, path):
        reader, writer = await asyncio.open_connection(node.host, node.port, limit=KIB)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: node\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        assert (await node.fetch(path))[2] == large
        await settled(node)
        assert kept(tmp_path, digest)
        writer.transport.abort()


async def test_the_last_bytes_wait_for_the_digest(tmp_path: Path) -> None:
    """Issue section 4: last bytes withheld until the digest is verified."""
    async with cold(tmp_path) as (node, standin, _, path):
        standin.fault = Fault(on="blob", hang_after=len(DATA) - 1)
        async with node.get(path) as response:
            assert len(await response.content.readexactly(len(DATA) - TAIL_BYTES)) == len(DATA) - TAIL_BYTES
            await standin.stalled.wait()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(response.content.readany(), 0.1)
            standin.resume()
            assert await response.content.read() == DATA[-TAIL_BYTES:]


async def test_wrong_bytes_are_never_completed_and_never_kept(tmp_path: Path) -> None:
    """RELIABILITY A5; FIELD "Tests to copy", 5: a short body, nothing stored, the next try is clean."""
    async with cold(tmp_path) as (node, standin, digest, path):
        for at in (0, len(DATA) // 2, len(DATA) - 1):
            standin.fault = Fault(on="blob", flip=at)
            parts = await asyncio.gather(*(read_part(node, path) for _ in range(3)))
            assert all(len(part) <= len(DATA) - TAIL_BYTES for part in parts)
            assert not kept(tmp_path, digest)
        standin.fault = None
        assert (await node.fetch(path))[2] == DATA


@pytest.mark.parametrize("size", [100, 2 * MIB])
async def test_another_length_than_the_manifest_says_is_502(tmp_path: Path, size: int) -> None:
    """RELIABILITY section 4: never 200 headers for a blob whose size at upstream is not confirmed; A3 for gzip."""
    data = DATA[:size]
    async with cold(tmp_path, data) as (node, standin, digest, path):
        for fault in (Fault(on="blob", short=10), Fault(on="blob", long=10), Fault(on="blob", gzip=True)):
            standin.fault = fault
            assert (await node.fetch(path))[0] == 502
            assert not kept(tmp_path, digest)
        standin.fault = None
        assert (await node.fetch(path))[2] == data


async def test_three_cuts_are_resumed_by_range(tmp_path: Path) -> None:
    """FIELD "Tests to copy", 4: upstream cuts three times: resumed by Range, digest right."""
    async with cold(tmp_path) as (node, standin, digest, path):
        standin.fault = Fault(on="blob", cut_after=MIB, times=3)
        assert (await node.fetch(path))[2] == DATA
        assert [seen.headers.get("range") for seen in standin.asked("blob", digest)] == [
            None,
            *(f"bytes={count * MIB}-" for count in (1, 2, 3)),
        ]


async def test_a_signed_place_is_used_again_for_the_resume(tmp_path: Path) -> None:
    """Issue section 4: redirects followed by hand without credentials, signed URL reused for resume."""
    async with cold(tmp_path) as (node, standin, digest, path), Standin("127.0.0.2") as store:
        standin.signed_at = store
        store.fault = Fault(on="signed", cut_after=MIB, times=1)
        assert (await node.fetch(path))[2] == DATA
        assert (standin.count("blob", digest), store.count("signed", digest)) == (1, 2)


async def test_an_upstream_that_ignores_ranges_is_read_from_the_start(tmp_path: Path) -> None:
    """RFC 9110 section 14.2: a server may ignore Range."""
    async with cold(tmp_path) as (node, standin, digest, path):
        standin.faults = [Fault(on="blob", cut_after=MIB, times=1), Fault(on="blob", ignore_range=True)]
        assert (await node.fetch(path))[2] == DATA
        assert standin.count("blob", digest) == 2


@pytest.mark.parametrize("named", [True, False], ids=["size known", "size unknown"])
async def test_an_answer_without_length_is_taken_when_its_digest_is_right(tmp_path: Path, named: bool) -> None:
    """RELIABILITY section 4: close-delimited, accepted only if size and digest match."""
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1", [DATA])
        standin.fault = Fault(on="blob", no_length=True)
        async with running(tmp_path, upstreams=[cached(standin)]) as node:
            if named:
                await node.fetch("/v2/library/app/manifests/v1")
            status, headers, body = await node.fetch(blob_path(image))
            assert (status, headers["Content-Length"], body) == (200, str(len(DATA)), DATA)


async def test_an_answer_without_length_that_ends_early_is_resumed(tmp_path: Path) -> None:
    """RELIABILITY section 4: aiohttp sees no error at the end of a close-delimited body: our count does."""
    async with cold(tmp_path) as (node, standin, digest, path):
        standin.faults = [
            Fault(on="blob", no_length=True, short=MIB, times=1),
            Fault(on="blob", no_length=True, short=MIB, ignore_range=True, times=1),
        ]
        assert (await node.fetch(path))[2] == DATA
        assert standin.count("blob", digest) == 3


async def test_an_answer_of_unknown_length_that_ends_early_is_never_completed(tmp_path: Path) -> None:
    """Nobody said how long it is: only the digest can tell, and does."""
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1", [DATA])
        standin.fault = Fault(on="blob", no_length=True, short=10)
        async with running(tmp_path, upstreams=[cached(standin)]) as node:
            assert len(await read_part(node, blob_path(image))) <= len(DATA) - TAIL_BYTES
            assert not kept(tmp_path, image.layers[0])
            standin.fault = None
            assert (await node.fetch(blob_path(image)))[2] == DATA


async def test_an_upstream_that_stays_cut_breaks_the_client_off_and_keeps_what_came(tmp_path: Path) -> None:
    """RELIABILITY section 4: resumed 5 times at most, else abort; the partial is kept for later."""
    async with cold(tmp_path) as (node, standin, digest, path):
        standin.faults = [Fault(on="blob", cut_after=MIB, times=1), Fault(on="blob", status=404)]
        assert len(await read_part(node, path)) <= MIB
        assert not kept(tmp_path, digest)
        standin.forget()
        standin.fault = None
        assert (await node.fetch(path))[2] == DATA
        assert standin.sent_bytes["blob", digest] == len(DATA) - MIB


async def test_a_restart_goes_on_where_the_fill_was(tmp_path: Path) -> None:
    """Issue section 4: resumes within the process and after a restart; FIELD "Tests to copy", 14."""
    async with Standin() as standin:
        image = standin.add_image("library/app", "v1", [DATA])
        standin.fault = Fault(on="blob", hang_after=3 * MIB)
        async with running(tmp_path, upstreams=[cached(standin)]) as node:
            await node.fetch("/v2/library/app/manifests/v1")
            async with node.get(blob_path(image)) as response:
                await response.content.readexactly(2 * MIB)
                await standin.stalled.wait()
                response.close()
        standin.fault = None
        async with running(tmp_path, upstreams=[cached(standin)]) as node:
            assert (await node.fetch(blob_path(image)))[2] == DATA
        assert standin.count("blob", image.layers[0]) == 2
        assert standin.sent_bytes["blob", image.layers[0]] <= len(DATA) + MIB


async def test_a_small_blob_is_filled_like_a_large_one(tmp_path: Path) -> None:
    """The whole of it is tail: nothing goes out before it is verified."""
    async with cold(tmp_path, b"small") as (node, standin, _, path):
        standin.fault = Fault(on="blob", flip=2)
        assert await read_part(node, path) == b""
        standin.fault = None
        assert (await node.fetch(path))[2] == b"small"


async def test_an_empty_blob_is_a_blob(tmp_path: Path) -> None:
    async with cold(tmp_path, b"") as (node, _, _, path):
        for _ in range(2):
            status, headers, body = await node.fetch(path)
            assert (status, headers["Content-Length"], body) == (200, "0", b"")
